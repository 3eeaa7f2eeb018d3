-- track: what every family keeps: one completion into the count, the sum and the plain averages (scorers/base.py).
-- Needs: task_tracker_ema_alpha, success_threshold
-- Gives: track
local function track(p, s)
  local success = s >= success_threshold and 1 or 0
  if p.completion_count == 0 then
    p.total_score, p.reward_ema, p.success_rate_ema = s, s, success
  else
    p.total_score = p.total_score + s
    p.reward_ema = p.reward_ema + task_tracker_ema_alpha * (s - p.reward_ema)
    p.success_rate_ema = p.success_rate_ema + task_tracker_ema_alpha * (success - p.success_rate_ema)
  end
  p.completion_count = p.completion_count + 1
end
