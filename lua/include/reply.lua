-- reply: what sample, step and replace answer. The worker's entry keeps what was drawn, so that a repeat answers the same,
-- whatever has become of those tasks: no label and no JSON text holds a line feed.
-- Needs: call, sequence, meta, worker_key, outcomes, drawn, wanted, missing
-- Gives: answer
local answer = { 0, tonumber(meta[7]), wanted, missing, #outcomes }
for i = 1, #outcomes do
  answer[5 + i] = outcomes[i]
end
--@include count_samples
call('HSET', worker_key, 'sequence', sequence, 'drawn',
  sequence .. ' ' .. wanted .. '\n' .. table.concat(answer, '\n', first_word))
