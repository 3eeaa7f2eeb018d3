-- moment_labels: labels' statistics and counts as they were at the moment of the running snapshot.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] token str as given to moment_begin
-- ARGV[3] lease_ms int how long the copies outlive this call
-- ARGV[4..] labels str at most 500; the empty one holds the counts of forgotten labels
-- Returns for each label JSON: progress [field, value, ...], count and epoch {what: count}, active, inactive (since, ms),
--   index {name: number} of what the draws keep
-- Errors RCSTALE generation: a restore replaced it; RCLOST token: the copies are gone
-- Atomic. Changes no label.

--@include keys
--@include digest
--@include reader
--@include exporter
local meta = call('HMGET', meta_key, 'generation', 'epoch', 'snapshot')
--@include label_state
local states = {}
for i = labels_first, labels_last do
  states[#states + 1] = call('HGET', prefix .. 'snapshot:labels', labels[i]) or label_as_it_is(labels[i])
end
return states
