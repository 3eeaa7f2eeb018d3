-- repair_sums: add what the sums and the labels' numbers of eligible tasks lack.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] pooled flag 1: pooling by label, 0: by task
-- ARGV[3] performance_bonus_weight float [0, 1]
-- ARGV[4] s int to add to each of the four sums
-- ARGV[5] q0 int
-- ARGV[6] q1 int
-- ARGV[7] q2 int
-- ARGV[8..] labels groups of label str, change int; to add to the label's number of eligible tasks
-- Returns 1
-- Errors RCSTALE generation: a restore replaced it
-- Atomic. What is lacking stays the same while workers write: they add differences.

local bonus = tonumber(performance_bonus_weight)
--@include keys
--@include reader
--@include drive
--@include sums
call('BITFIELD', pool .. 'sums', 'INCRBY', 'i64', '#0', s, 'INCRBY', 'i64', '#1', q0, 'INCRBY', 'i64', '#2', q1,
  'INCRBY', 'i64', '#3', q2)
for i = labels_first, labels_last, labels_width do
  local key, change = pool .. 'progress:' .. labels[i], labels[i + 1]
  local label = call('HMGET', key, 'eligible_count', 'learning_progress', 'p_true')
  local count = tonumber(label[1] or 0)
  if pooled then
    local y = drive(tonumber(label[2] or 0), tonumber(label[3] or 0))
    sums_move(count, y, count + change, y)
    sums_flush()
  end
  call('HSET', key, 'eligible_count', count + change)
end
return 1
