-- acceptance: the chance that an eligible task of some weight is accepted: the sigmoid of its z-score.
-- Needs: call, pool, fixed, eligible_count, temperature, progress_smoothing, z_score_amplification
-- Gives: MOST_TRIALS, acceptance, all_alike
local MOST_TRIALS, all_alike = 1024, temperature == 0 and z_score_amplification == 0
local mean, std = 0, 1 -- of the weights of the eligible tasks
if eligible_count > 0 and temperature == 0 then
  local sums = call('HMGET', pool .. 'weight_sums', 's', 'q0', 'q1', 'q2')
  mean = (sums[1] or 0) / eligible_count
  local square = (sums[4] or 0) * 4398046511104 + (sums[3] or 0) * 4194304 + (sums[2] or 0)
  local variance = square / eligible_count - mean * mean
  if variance <= mean * mean * 1e-14 then
    all_alike = true
  else
    std = math.sqrt(variance)
  end
end

local function acceptance(y)
  if temperature > 0 then
    return 1 / (1 + math.exp(-(y + progress_smoothing) / temperature))
  end
  return 1 / (1 + math.exp(-z_score_amplification * ((fixed(y) - mean) / std)))
end
