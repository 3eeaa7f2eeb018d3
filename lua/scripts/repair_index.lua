-- repair_index: put labels where the draws look for them, as their statistics and their number of tasks say.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] config_version int the version of the config that the repair was computed by
-- ARGV[3..] labels groups of label str, lacking int; lacking: by so much is its number of eligible tasks too small, where the draws keep one
-- Returns 1
-- Errors RCSTALE generation: a restore replaced it; RCUNINDEXED version: reindex first; RCCONFIG version: the config has changed
-- Atomic. O(labels).

--@include reader
--@include settled
--@include stored_hypers
--@include mend
for i = labels_first, labels_last, labels_width do
  index_mend(labels[i], labels[i + 1])
end
return 1
