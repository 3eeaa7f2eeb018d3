-- pick: a label, by its weight or, for a share of the draws, any; then any of its tasks (_sampling/label_first.py).
-- Needs: uniform, index, label_at, member_of, judged, young, capped, most, any_part, weighed_part
-- Gives: is_spent, pick
local MOST_TRIALS, is_spent = 1024, false

-- Any label that is not capped.
local function any_label()
  local rest, set = judged.count - judged.start, judged
  local place = index(rest + young.count - young.start)
  if place >= rest then
    set, place = young, place - rest
  end
  local name = label_at(set, set.start + place)
  return name
end

-- A label that is not capped, by its mass. A trial chooses a place in the sum of the groups' 2^e, then may refuse its label.
local function weighed_label()
  local accepted
  for _ = 1, MOST_TRIALS do
    local v, set = uniform() * (judged.envelope + young.envelope * young.unit), judged
    if v >= judged.envelope then
      v, set = (v - judged.envelope) / young.unit, young
    end
    local start, tops, i = set.start, set.tops, 1
    local size = set.counts[1]
    while size and v >= size * tops[i] do
      v, start, i = v - size * tops[i], start + size, i + 1
      size = set.counts[i]
    end
    if size and size > 0 then
      local name, its_score = label_at(set, start + index(size))
      if uniform() * tops[i] < its_score then
        accepted = name
        break
      end
    end
  end
  return accepted
end

local function pick()
  local v, cut_part, label, id = uniform() * (most * #capped + any_part + weighed_part), most * #capped, nil, nil
  if v < cut_part then
    label = capped[math.min(math.floor(v / most) + 1, #capped)]
  elseif v < cut_part + any_part then
    label = any_label()
  else
    label = weighed_label()
  end
  if label then
    id = member_of(label)
  end
  return id
end
