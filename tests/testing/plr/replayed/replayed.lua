-- replayed: the twin of the class ReplayedConfig.
-- Needs: track
-- Gives: fold_task, fold_label, rank, weight, fresh_until, ripe_from, replacement, evictable_share
local fresh_until, ripe_from, replacement, evictable_share = 1, 9007199254740992, 0, 1

local function fold_task(p, s)
  local surprise = math.abs(s - (p.reward_ema or 0))
  track(p, s)
  p.surprise = surprise
end
local fold_label = fold_task

local function rank(p)
  return p.surprise or 0
end

local function weight()
  return 1
end
