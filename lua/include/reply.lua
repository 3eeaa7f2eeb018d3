-- reply: what sample, step and replace answer. drawn: ids as text; a repeat answers with the tasks drawn the first time.
-- Needs: call, pool, sequence, meta, count_samples, worker_key
-- Gives: reply, reply_again
local function reply(outcomes, drawn, wanted, next_index, missing)
  local answer = { 0, tonumber(meta[8]), wanted, next_index, missing > 0 and missing or 0, #outcomes }
  for i = 1, #outcomes do
    answer[6 + i] = outcomes[i]
  end
  count_samples(drawn, answer)
  call('HSET', worker_key, 'sequence', sequence, 'drawn', wanted .. ' ' .. table.concat(drawn, ' '))
  return answer
end

local function reply_again()
  local before = call('HMGET', worker_key, 'sequence', 'drawn')
  local wanted, drawn = string.match(before[1] == sequence and before[2] or '0 ', '^(%d+) (.*)$')
  local answer = { 1, tonumber(meta[8]), tonumber(wanted), tonumber(meta[5]), 0, 0 }
  for id in string.gmatch(drawn, '%d+') do
    local task = call('HMGET', pool .. 'task:' .. id, 'label', 'params')
    if task[1] then
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3] = id, task[1], task[2]
    end
  end
  return answer
end
