-- acceptance: the chance that an eligible task of some weight is accepted: the sigmoid of its z-score.
-- Needs: call, pool, fixed, temperature, progress_smoothing, z_score_amplification
-- Gives: MOST_TRIALS, load_moments, acceptance, all_alike
local MOST_TRIALS = 1024
local equal, mean, std = false, 0, 1

-- Mean and standard deviation of the weights of so many eligible tasks.
local function load_moments(eligible_count)
  if eligible_count == 0 or temperature > 0 then
    return
  end
  local sums = call('HMGET', pool .. 'weight_sums', 's', 'q0', 'q1', 'q2')
  mean = (sums[1] or 0) / eligible_count
  local square = (sums[4] or 0) * 4398046511104 + (sums[3] or 0) * 4194304 + (sums[2] or 0)
  local variance = square / eligible_count - mean * mean
  equal = variance <= mean * mean * 1e-14
  std = equal and 1 or math.sqrt(variance)
end

local function acceptance(y)
  if temperature > 0 then
    return 1 / (1 + math.exp(-(y + progress_smoothing) / temperature))
  end
  return 1 / (1 + math.exp(-z_score_amplification * ((fixed(y) - mean) / std)))
end

local function all_alike()
  return equal or (temperature == 0 and z_score_amplification == 0)
end
