-- label: a label's part of the draws, and any task of it (_sampling/label_first.py).
-- Needs: call, pool, index, DRAWN, young, capped, base, share_of_mass, most, any_part, weighed_part
-- Gives: label_part, member_of

-- The part of the draws that a label with tasks has.
local function label_part(label)
  local score, unit = call('ZSCORE', pool .. DRAWN, label), 1
  if not score then
    score, unit = call('ZSCORE', pool .. 'young', label), young.unit
  end
  local share = base + share_of_mass * (score * unit)
  return math.min(share, most) / (most * #capped + any_part + weighed_part)
end

-- Any task of a label.
local function member_of(label)
  local key = pool .. 'members:' .. label
  local place = string.format('%d', index(call('ZCARD', key))) -- a number goes out with 17 digits
  return call('ZRANGE', key, place, place)[1]
end
