-- hypers: what the config says of scoring and drawing. hypers: little-endian doubles in the order of store.HYPERS;
-- flags are 0 or 1. One argument instead of twenty: less to send, and no text to turn into numbers.
-- Needs: hypers
-- Gives: pooled, bonus, alpha, fast, slow, threshold, baseline, bidirectional, amplify, min_samples,
--   min_presentations, rand_rate, bonus_rule, explore, temperature, amplification, smoothing, percentile,
--   replacement_rate, capacity
local pooled, bonus, alpha, fast, slow, threshold, baseline, bidirectional, amplify, min_samples, min_presentations,
  rand_rate, bonus_rule, explore, temperature, amplification, smoothing, percentile, replacement_rate, capacity =
  struct.unpack('<dddddddddddddddddddd', hypers)
pooled, baseline, bidirectional, bonus_rule = pooled == 1, baseline == 1, bidirectional == 1, bonus_rule == 1
slow = fast * slow
