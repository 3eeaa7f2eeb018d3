-- pick: a label, by its weight or, for a share of the draws, any; then any of its tasks (_sampling/label_first.py).
-- Needs: uniform, index, label_at, member_of, judged, young, capped, most, any_part, weighed_part
-- Gives: is_spent, pick
local MOST_TRIALS, is_spent = 1024, false

-- Any label that is not capped.
local function any_label()
  local rest = judged.count - judged.start
  local place = index(rest + young.count - young.start)
  if place < rest then
    return (label_at(judged, judged.start + place))
  end
  return (label_at(young, young.start + place - rest))
end

-- A label of a set by its score; v: where in the sum of the groups' 2^e. Nil: it was refused.
local function weighed_at(set, v)
  local start, tops, i = set.start, set.tops, 1
  local count = set.counts[1]
  while count and v >= count * tops[i] do
    v, start, i = v - count * tops[i], start + count, i + 1
    count = set.counts[i]
  end
  if count and count > 0 then
    local label, score = label_at(set, start + index(count))
    return uniform() * tops[i] < score and label or nil
  end
end

-- A label that is not capped, by its mass.
local function weighed_label()
  for _ = 1, MOST_TRIALS do
    local v, label = uniform() * (judged.envelope + young.envelope * young.unit), nil
    if v < judged.envelope then
      label = weighed_at(judged, v)
    else
      label = weighed_at(young, (v - judged.envelope) / young.unit)
    end
    if label then
      return label
    end
  end
end

local function pick()
  local v, cut_part, label = uniform() * (most * #capped + any_part + weighed_part), most * #capped, nil
  if v < cut_part then
    label = capped[math.min(math.floor(v / most) + 1, #capped)]
  elseif v < cut_part + any_part then
    label = any_label()
  else
    label = weighed_label()
  end
  return label and member_of(label)
end
