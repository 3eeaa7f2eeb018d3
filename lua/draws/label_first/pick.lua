-- pick: a label, by its weight or, for a share of the draws, any; then any of its tasks (_sampling/label_first.py).
-- Needs: call, pool, uniform, index, floor, cap, label_mass_is_tasks, DRAWN, JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH,
--   YOUNG_GROUPS
-- Gives: prepare_picks, is_spent, pick
local MOST_TRIALS = 1024
local tried = 0
local judged_counts, judged_count, judged_envelope, judged_high = {}, 0, 0, 0
local young_counts, young_count, young_envelope, young_high, young_unit = {}, 0, 0, 0, 1
local all_labels, any_share, share_of_mass, most = 0, 1, 0, 1

-- The sizes of so many groups from the one of 2^high down, the number of labels in them, and the sum of 2^e over these.
local function read_groups(data, first, high, groups)
  local counts = { struct.unpack('>' .. string.rep('I4', groups), data, 17 + 4 * first) }
  local count, envelope, top = 0, 0, math.ldexp(1, high)
  for i = 1, groups do
    if counts[i] > 0 then
      count, envelope = count + counts[i], envelope + counts[i] * top
    end
    top = top / 2
  end
  return counts, count, envelope
end

local function prepare_picks()
  local size, data = 16 + 4 * (JUDGED_GROUPS + YOUNG_GROUPS), call('GET', pool .. 'groups')
  if #data < size then -- it grows as it is written to
    data = data .. string.rep('\0', size - #data)
  end
  local judged_total, young_total = struct.unpack('>i8i8', data)
  local skipped = label_mass_is_tasks and 0 or JUDGED_HIGH - 1 -- a weight is not above 2
  judged_high = JUDGED_HIGH - skipped
  judged_counts, judged_count, judged_envelope = read_groups(data, skipped, judged_high, JUDGED_GROUPS - skipped)
  if young_total > 0 then
    if judged_count > 0 then
      young_unit = tonumber(call('ZREVRANGE', pool .. 'weights', 0, 0, 'WITHSCORES')[2])
    end
    skipped = label_mass_is_tasks and 0 or YOUNG_HIGH -- then each stands for 1
    young_high = YOUNG_HIGH - skipped
    young_counts, young_count, young_envelope =
      read_groups(data, JUDGED_GROUPS + skipped, young_high, YOUNG_GROUPS - skipped)
    young_envelope = young_envelope * young_unit
  end
  all_labels = judged_count + young_count
  local mass = judged_total / 4294967296 + young_total * young_unit
  if mass > 0 then
    any_share, share_of_mass = floor, (1 - floor) / mass
  end
  most = cap + (1 - cap) / all_labels
end

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
