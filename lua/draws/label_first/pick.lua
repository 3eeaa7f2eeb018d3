-- pick: a label, by its weight or, for a share of the draws, any; then any of its tasks (_sampling/label_first.py).
-- Needs: call, pool, uniform, index, DRAWN, judged_counts, judged_count, judged_envelope, judged_high, young_counts,
--   young_envelope, young_high, young_unit, all_labels, any_share, share_of_mass, most
-- Gives: is_spent, pick
local MOST_TRIALS = 1024
local tried = 0

local function is_spent()
  return tried >= MOST_TRIALS
end

local function label_at(key, place)
  place = string.format('%d', place)
  local found = call('ZREVRANGE', key, place, place, 'WITHSCORES')
  return found[1], tonumber(found[2])
end

-- Returns any label, and its mass.
local function any_label()
  local place = index(all_labels)
  if place < judged_count then
    return label_at(pool .. DRAWN, place)
  end
  local label, score = label_at(pool .. 'young', place - judged_count)
  return label, score * young_unit
end

-- Returns a label of a set by its score, and that; v: where in the sum of the groups' 2^e.
local function weighed_at(key, counts, high, v)
  local start, top, i = 0, math.ldexp(1, high), 1
  while counts[i] and v >= counts[i] * top do
    v, start, top, i = v - counts[i] * top, start + counts[i], top / 2, i + 1
  end
  if counts[i] and counts[i] > 0 then
    local label, score = label_at(key, start + index(counts[i]))
    if uniform() * top < score then
      return label, score
    end
  end
end

-- Returns a label by its mass, and that.
local function weighed_label()
  for _ = 1, MOST_TRIALS do
    local v, label, score = uniform() * (judged_envelope + young_envelope), nil, nil
    local unit = v < judged_envelope and 1 or young_unit
    if v < judged_envelope then
      label, score = weighed_at(pool .. DRAWN, judged_counts, judged_high, v)
    else
      label, score = weighed_at(pool .. 'young', young_counts, young_high, (v - judged_envelope) / young_unit)
    end
    if label then
      return label, score * unit
    end
  end
end

local function pick()
  for _ = 1, MOST_TRIALS do
    local is_any = any_share == 1 or (any_share > 0 and uniform() < any_share)
    local label, mass = (is_any and any_label or weighed_label)()
    if not label then
      return nil
    end
    local share = any_share / all_labels + share_of_mass * mass
    if share <= most or uniform() * share < most then
      local place = string.format('%d', index(call('ZCARD', pool .. 'members:' .. label)))
      return call('ZRANGE', pool .. 'members:' .. label, place, place)[1]
    end
    tried = tried + 1
  end
end
