-- counts: what is counted by label (redis_curriculum/keys.py COUNTS).
local COUNTS = { 'completions', 'samples', 'evictions', 'failures', 'created' }
