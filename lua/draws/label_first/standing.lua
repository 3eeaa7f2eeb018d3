-- standing: how many labels stand in each group, and what a label's score makes of its share of the draws.
-- Needs: call, pool, floor, cap, label_mass_is_tasks, JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH, YOUNG_GROUPS
-- Gives: prepare_picks, judged_counts, judged_count, judged_envelope, judged_high, young_counts, young_envelope, young_high,
--   young_unit, all_labels, any_share, share_of_mass, most
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
