-- pick: a label, by its weight or, for a share of the draws, any; then any of its tasks (_sampling/label_first.py).
-- Needs: call, pool, uniform, index, floor, cap, DRAWN
-- Gives: prepare_picks, is_spent, pick
local MOST_TRIALS = 1024
local tried = 0
local known, young = { count = 0, total = 0, groups = {} }, { count = 0, total = 0, groups = {} }
local strata, envelope = {}, 0
local all_labels, floor_now, share_of_mass, most = 0, 1, 0, 1

local function read_sums()
  local flat = call('HGETALL', pool .. 'sums')
  for i = 1, #flat, 2 do
    local field, value, set = flat[i], tonumber(flat[i + 1]), known
    if string.sub(field, 1, 6) == 'young:' then
      field, set = string.sub(field, 7), young
    end
    local group = tonumber(field)
    if group then
      set.groups[group] = value
      set.count = set.count + value
      set.high = math.max(set.high or group, group)
      set.low = math.min(set.low or group, group)
    else
      set.total = value / 4294967296
    end
  end
end

-- The groups of a set, highest first, as strata: their labels' masses are at most `top`, more than half of it each.
local function add_strata(set, key, unit)
  local start = 0
  for group = set.high or 0, set.low or 1, -1 do
    local count = set.groups[group]
    if count then
      local top = math.ldexp(1, group)
      envelope = envelope + count * top * unit
      strata[#strata + 1] = { key = key, start = start, count = count, top = top, unit = unit, upto = envelope }
      start = start + count
    end
  end
end

local function prepare_picks()
  read_sums()
  local unit = 1
  if young.count > 0 and known.count > 0 then
    unit = tonumber(call('ZREVRANGE', pool .. 'weights', 0, 0, 'WITHSCORES')[2])
  end
  known.unit, young.unit = 1, unit
  add_strata(known, pool .. DRAWN, 1)
  add_strata(young, pool .. 'young', unit)
  all_labels = known.count + young.count
  local mass = known.total + young.total * unit
  if mass > 0 then
    floor_now, share_of_mass = floor, (1 - floor) / mass
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
  if place < known.count then
    return label_at(pool .. DRAWN, place)
  end
  local label, score = label_at(pool .. 'young', place - known.count)
  return label, score * young.unit
end

-- Returns a label by its mass, and that.
local function weighed_label()
  for _ = 1, MOST_TRIALS do
    local v, i = uniform() * envelope, 1
    while i < #strata and v >= strata[i].upto do
      i = i + 1
    end
    local stratum = strata[i]
    local label, score = label_at(stratum.key, stratum.start + index(stratum.count))
    if uniform() * stratum.top < score then
      return label, score * stratum.unit
    end
  end
end

local function pick()
  for _ = 1, MOST_TRIALS do
    local is_any = floor_now == 1 or (floor_now > 0 and uniform() < floor_now)
    local label, mass = (is_any and any_label or weighed_label)()
    if not label then
      return nil
    end
    local share = floor_now / all_labels + share_of_mass * mass
    if share <= most or uniform() * share < most then
      local place = string.format('%d', index(call('ZCARD', pool .. 'members:' .. label)))
      return call('ZRANGE', pool .. 'members:' .. label, place, place)[1]
    end
    tried = tried + 1
  end
end
