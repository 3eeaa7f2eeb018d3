-- standing: how many labels stand in each group, and the few whose share of the draws is cut by the cap: these are taken
-- out of their groups, so that the others are drawn as if they were alone.
-- Needs: call, pool, floor, cap, label_mass_is_tasks, DRAWN, JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH, YOUNG_GROUPS, malformed
-- Gives: prepare_picks, label_at, judged, young, capped, base, share_of_mass, most, any_part, weighed_part
local judged, young, capped = { unit = 1, places = 4294967296 }, { unit = 1, places = 1 }, {}
local base, share_of_mass = 0, 0 -- a label's share before it is cut: base + share_of_mass times its mass
local most, any_part, weighed_part = 0, 0, 0 -- the share of each capped label; the shares of the others, by either rule

local function label_at(set, place)
  place = string.format('%d', place)
  local found = call('ZREVRANGE', set.key, place, place, 'WITHSCORES')
  if not found[1] then -- fewer stand there than are counted
    malformed(pool .. 'groups', 'counts', place)
  end
  return found[1], tonumber(found[2])
end

-- The sizes of so many groups, from the one of 2^high down; `first`: its place among the counts. How many labels there
-- are, and the sum of 2^e over these.
local function read_groups(set, key, data, first, high, groups)
  local counts = { struct.unpack('>' .. string.rep('I4', groups), data, 17 + 4 * first) }
  counts[groups + 1] = nil -- unpack adds where it stopped
  local count, envelope, top = 0, 0, math.ldexp(1, high)
  for i = 1, groups do
    if counts[i] > 0 then
      count, envelope = count + counts[i], envelope + counts[i] * top
    end
    top = top / 2
  end
  set.key, set.counts, set.high, set.count, set.envelope, set.start = key, counts, high, count, envelope, 0
end

-- Take out the labels of a set whose share is above the most.
local function cut(set)
  local i, top = 1, math.ldexp(1, set.high)
  while set.counts[i] do
    if set.counts[i] == 0 then
      i, top = i + 1, top / 2
    else
      if base + share_of_mass * (top * set.unit) <= most then
        return
      end
      local label, score = label_at(set, set.start)
      if base + share_of_mass * (score * set.unit) <= most then
        return
      end
      capped[#capped + 1] = label
      set.mass = set.mass - math.floor(score * set.places + 0.5)
      set.counts[i], set.start, set.envelope = set.counts[i] - 1, set.start + 1, set.envelope - top
    end
  end
end

-- The sum of the labels' masses.
local function mass_left()
  return judged.mass / judged.places + young.mass * young.unit
end

local function prepare_picks()
  local size, data = 16 + 4 * (JUDGED_GROUPS + YOUNG_GROUPS), call('GET', pool .. 'groups')
  if #data < size then -- it grows as it is written to
    data = data .. string.rep('\0', size - #data)
  end
  judged.mass, young.mass = struct.unpack('>i8i8', data)
  local skipped = label_mass_is_tasks and 0 or JUDGED_HIGH - 1 -- a weight is not above 2
  read_groups(judged, pool .. DRAWN, data, skipped, JUDGED_HIGH - skipped, JUDGED_GROUPS - skipped)
  if young.mass > 0 and judged.count > 0 then
    local largest = call('ZREVRANGE', pool .. 'weights', 0, 0, 'WITHSCORES')
    young.unit = tonumber(largest[2] or malformed(pool .. 'groups', 'counts', string.format('%.0f', judged.count)))
  end
  skipped = label_mass_is_tasks and 0 or YOUNG_HIGH -- then each stands for 1
  read_groups(young, pool .. 'young', data, JUDGED_GROUPS + skipped, YOUNG_HIGH - skipped, YOUNG_GROUPS - skipped)
  local labels, mass = judged.count + young.count, mass_left()
  base, share_of_mass = (mass > 0 and floor or 1) / labels, mass > 0 and (1 - floor) / mass or 0
  most = cap + (1 - cap) / labels
  cut(judged)
  cut(young)
  any_part, weighed_part = base * (labels - #capped), share_of_mass * mass_left()
end
