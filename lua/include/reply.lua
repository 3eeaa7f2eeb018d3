-- reply: what sample, step and replace answer. Each drawn task counts as sampled, once a draw. The worker's entry keeps what
-- was drawn, so that a repeat answers the same, whatever has become of those tasks: no label and no JSON text holds a line feed.
-- Needs: call, pool, sequence, meta, worker_key, epoch_prefix, save_task, save_label, malformed, outcomes, drawn, wanted,
--   missing
-- Gives: answer
local answer = { 0, tonumber(meta[7]), wanted, missing, #outcomes }
for i = 1, #outcomes do
  answer[5 + i] = outcomes[i]
end
local first_word, by_label = #answer + 1, {}
for _, id in ipairs(drawn) do
  local key, n = pool .. 'task:' .. id, #answer
  local record = call('HMGET', key, 'label', 'params', 'sample_count')
  local label, samples = record[1], record[3] or '0'
  if label then
    if samples == '' or #samples > 16 or string.find(samples, '%D') then
      malformed(key, 'sample_count', samples)
    end
    answer[n + 1], answer[n + 2], answer[n + 3] = id, label, record[2] or malformed(key, 'params')
    by_label[label] = (by_label[label] or 0) + 1
  end
end
for i = first_word, #answer, 3 do
  save_task(answer[i])
  call('HINCRBY', pool .. 'task:' .. answer[i], 'sample_count', '1')
end
for label, times in pairs(by_label) do
  save_label(label)
  times = string.format('%d', times) -- a number would be printed to 17 digits, each time
  call('HINCRBY', pool .. 'count:samples', label, times)
  call('HINCRBY', epoch_prefix .. 'samples', label, times)
end
call('HSET', worker_key, 'sequence', sequence, 'drawn',
  sequence .. ' ' .. wanted .. '\n' .. table.concat(answer, '\n', first_word))
