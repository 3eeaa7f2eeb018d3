-- repair_sums: add what the sums and the labels' numbers of eligible tasks lack.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] sum_s int to add to each of the four sums
-- ARGV[3] sum_q0 int
-- ARGV[4] sum_q1 int
-- ARGV[5] sum_q2 int
-- ARGV[6..] labels groups of label str, change int; to add to the label's number of eligible tasks
-- Returns 1
-- Errors RCSTALE generation: a restore replaced it
-- Atomic. What is lacking stays the same while workers write: they add differences.

--@include keys
--@include reader
--@include stored_hypers
for field, amount in pairs({ s = sum_s, q0 = sum_q0, q1 = sum_q1, q2 = sum_q2 }) do
  call('HINCRBY', pool .. 'weight_sums', field, amount)
end
--@include index
for i = labels_first, labels_last, labels_width do
  index_mend(labels[i], labels[i + 1])
end
return 1
