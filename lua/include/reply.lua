-- reply: what sample, step and replace answer. drawn: ids as text. The worker's entry keeps what was drawn, so that a
-- repeat answers the same, whatever has become of those tasks: no label and no JSON text holds a line feed.
-- Needs: call, sequence, meta, count_samples, worker_key
-- Gives: reply
local function reply(outcomes, drawn, wanted, missing)
  local answer = { 0, tonumber(meta[8]), wanted, missing, #outcomes }
  for i = 1, #outcomes do
    answer[5 + i] = outcomes[i]
  end
  count_samples(drawn, answer)
  local words = sequence .. ' ' .. wanted .. '\n' .. table.concat(answer, '\n', 6 + #outcomes)
  call('HSET', worker_key, 'sequence', sequence, 'drawn', words)
  return answer
end
