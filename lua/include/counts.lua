-- counts: what is counted by label, and all that is kept of an epoch (redis_curriculum/keys.py COUNTS, EPOCH).
-- Gives: COUNTS, EPOCH
local COUNTS = { 'completions', 'samples', 'evictions', 'failures', 'created' }
local EPOCH = { 'completions', 'samples', 'evictions', 'failures', 'created', 'times', 'success', 'progress' }
