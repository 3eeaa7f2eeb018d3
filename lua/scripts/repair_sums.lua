-- repair_sums: add what the sums lack.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] config_version int the version of the config that the repair was computed by
-- ARGV[3..] amounts groups of field str, amount int; a field of the hash `weight_sums`, a place among the numbers of `groups`, or a key of the family's own that is to be built anew
-- Returns 1
-- Errors RCSTALE generation: a restore replaced it; RCUNINDEXED version: reindex first; RCCONFIG version: the config has changed
-- Atomic. What is lacking stays the same while workers write: they add differences.

--@include reader
--@include settled
--@include stored_hypers
--@include mend
for i = amounts_first, amounts_last, amounts_width do
  index_add(amounts[i], amounts[i + 1])
end
return 1
