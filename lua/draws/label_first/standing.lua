-- standing: how many labels stand in each group, and the few whose share of the draws is cut by the cap: these are taken
-- out of their groups, so that the others are drawn as if they were alone.
-- Needs: call, pool, floor, cap, label_mass_is_tasks, DRAWN, JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH, YOUNG_GROUPS, malformed
-- Gives: label_at, judged, young, capped, base, share_of_mass, most, any_part, weighed_part
local function new_set(key, places)
  return { key = key, unit = 1, places = places, mass = 0, counts = 0, tops = 0, count = 0, envelope = 0, start = 0 }
end

local capped = {}
local judged = new_set(pool .. DRAWN, 4294967296)
local young = new_set(pool .. 'young', 1)
local groups = call('GET', pool .. 'groups') or malformed(pool .. 'groups', 'counts')
local groups_size = 16 + 4 * (JUDGED_GROUPS + YOUNG_GROUPS)
if #groups < groups_size then -- it grows as it is written to
  groups = groups .. string.rep('\0', groups_size - #groups)
end
judged.mass, young.mass = struct.unpack('>i8i8', groups)

local function label_at(set, at)
  local place = string.format('%d', at)
  local found = call('ZREVRANGE', set.key, place, place, 'WITHSCORES')
  if not found[1] then -- fewer stand there than are counted
    malformed(pool .. 'groups', 'counts', place)
  end
  return found[1], tonumber(found[2])
end

-- Those of `size` groups that hold labels, from the one of 2^high down: how many labels each holds, and its 2^e; `first`: its
-- place among the counts. Then how many labels there are, and the sum of 2^e over these. Two are read as one number, exact
-- for up to 2^21 labels in a group: reading each costs twice as much.
local function read_groups(set, first, high, size)
  local counts, tops, n, count, envelope = {}, {}, 0, 0, 0
  local twos, top = math.floor(size / 2), math.ldexp(1, high)
  local format = '>' .. string.rep('i8', twos) .. string.rep('I4', size % 2)
  local stored = { struct.unpack(format, groups, 17 + 4 * first) }
  local function note(labels, its_top)
    if labels > 0 then
      n, count, envelope = n + 1, count + labels, envelope + labels * its_top
      counts[n], tops[n] = labels, its_top
    end
  end
  for i = 1, twos do
    local two = stored[i]
    if two > 0 then
      local upper = math.floor(two / 4294967296)
      note(upper, top)
      note(two - upper * 4294967296, top / 2)
    end
    top = top / 4
  end
  if size % 2 == 1 then
    note(stored[twos + 1], top)
  end
  set.counts, set.tops, set.count, set.envelope = counts, tops, count, envelope
end

-- Without label_mass 'tasks' a weight is not above 2, and each young label stands for 1: the groups above are empty.
local judged_skipped, young_skipped = label_mass_is_tasks and 0 or JUDGED_HIGH - 1, label_mass_is_tasks and 0 or YOUNG_HIGH
read_groups(judged, judged_skipped, JUDGED_HIGH - judged_skipped, JUDGED_GROUPS - judged_skipped)
read_groups(young, JUDGED_GROUPS + young_skipped, YOUNG_HIGH - young_skipped, YOUNG_GROUPS - young_skipped)
if young.mass > 0 and judged.count > 0 then
  local largest = call('ZREVRANGE', pool .. 'weights', 0, 0, 'WITHSCORES')
  young.unit = tonumber(largest[2] or malformed(pool .. 'groups', 'counts', string.format('%.0f', judged.count)))
end
local labels_drawn, mass = judged.count + young.count, judged.mass / judged.places + young.mass * young.unit
-- A label's share before it is cut: base + share_of_mass times its mass; the share of each capped label.
local base, share_of_mass = (mass > 0 and floor or 1) / labels_drawn, mass > 0 and (1 - floor) / mass or 0
local most = cap + (1 - cap) / labels_drawn

-- Take out the labels of a set whose share is above the most.
local function cut(set)
  local i = 1
  while set.counts[i] do
    if set.counts[i] == 0 then
      i = i + 1
    else
      if base + share_of_mass * (set.tops[i] * set.unit) <= most then
        break
      end
      local label, score = label_at(set, set.start)
      if base + share_of_mass * (score * set.unit) <= most then
        break
      end
      capped[#capped + 1] = label
      set.mass = set.mass - math.floor(score * set.places + 0.5)
      set.counts[i], set.start, set.envelope = set.counts[i] - 1, set.start + 1, set.envelope - set.tops[i]
    end
  end
end

cut(judged)
cut(young)
-- The shares of the others, by either rule.
local any_part = base * (labels_drawn - #capped)
local weighed_part = share_of_mass * (judged.mass / judged.places + young.mass * young.unit)
