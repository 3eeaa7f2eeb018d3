-- lessons: the twin of the class LessonsConfig.
-- Needs: track
-- Gives: fold_task, fold_label, rank, weight, fresh_until, ripe_from, replacement, evictable_share
local fresh_until, ripe_from, replacement, evictable_share = 1, 9007199254740992, 0, 1

local function fold_task(p, s)
  track(p, s)
end
local fold_label = fold_task

local function rank()
  return 0
end

local function weight()
  return 1
end
