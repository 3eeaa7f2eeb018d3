-- count_samples: each of the `drawn` tasks counts as sampled, once a draw; id, label and params of each go into `answer`, behind
-- what is there.
-- Needs: call, pool, epoch_prefix, save_task, save_label, malformed, drawn, answer, increase, counted
-- Gives: first_word
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
for label, times in pairs(by_label) do
  save_label(label)
  times = times == 1 and '1' or string.format('%d', times) -- a number is printed to 17 digits, each time
  increase(pool .. 'count:samples', label, times)
  increase(epoch_prefix .. 'samples', label, times)
end
counted()
for i = first_word, #answer, 3 do
  save_task(answer[i])
  call('HINCRBY', pool .. 'task:' .. answer[i], 'sample_count', '1')
end
