-- passes: the twin of redis_curriculum/scorers/passes.py.
-- Needs: track
-- Gives: fold_task, fold_label, rank, weight, fresh_until, ripe_from, replacement, evictable_share
local fresh_until, ripe_from, replacement, evictable_share = 1, 9007199254740992, 0, 1
local fold_task, fold_label = track, track

local function rank()
  return 0
end

local function weight()
  return 1
end
