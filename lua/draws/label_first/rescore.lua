-- rescore: a label's score in a sorted set, and the numbers of `groups` that go with it, change together.
-- Needs: call, pool, JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH
-- Gives: rescore

-- Where the group of a score is counted.
local function place_of(score, is_young)
  local mantissa, exponent = math.frexp(score)
  local group, place = mantissa == 0.5 and exponent - 1 or exponent, JUDGED_GROUPS - 1
  if is_young then
    place = JUDGED_GROUPS + YOUNG_HIGH - group
  elseif score > 0 then
    place = math.min(JUDGED_HIGH - group, place)
  end
  return place
end

-- A label's score in a set changes; nil: it is not in it.
local function rescore(set, label, before, after, is_young)
  if before ~= after then
    local from, to
    if before then
      from = place_of(before, is_young)
    end
    if after then
      to = place_of(after, is_young)
    end
    local unit, field = is_young and 1 or 4294967296, is_young and '#1' or '#0'
    local change = math.floor((after or 0) * unit + 0.5) - math.floor((before or 0) * unit + 0.5)
    if from == to then
      call('BITFIELD', pool .. 'groups', 'INCRBY', 'i64', field, change)
    else
      local words = { 'INCRBY', 'i64', field, change }
      local n = 4
      if from then
        words[5], words[6], words[7], words[8], n = 'INCRBY', 'u32', '#' .. from + 4, '-1', 8
      end
      if to then
        words[n + 1], words[n + 2], words[n + 3], words[n + 4] = 'INCRBY', 'u32', '#' .. to + 4, '1'
      end
      call('BITFIELD', pool .. 'groups', unpack(words))
    end
    if after then
      call('ZADD', pool .. set, after, label)
    else
      call('ZREM', pool .. set, label)
    end
  end
end
