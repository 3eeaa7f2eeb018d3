-- rescore: a label's score in a sorted set, and the numbers of `groups` that go with it, change together.
-- Needs: call, pool, JUDGED_HIGH, JUDGED_GROUPS, YOUNG_HIGH
-- Gives: rescore

-- Where the group of a score is counted.
local function place_of(score, is_young)
  local mantissa, exponent = math.frexp(score)
  local group = mantissa == 0.5 and exponent - 1 or exponent
  if is_young then
    return JUDGED_GROUPS + YOUNG_HIGH - group
  end
  return score == 0 and JUDGED_GROUPS - 1 or math.min(JUDGED_HIGH - group, JUDGED_GROUPS - 1)
end

-- A label's score in a set changes; nil: it is not in it.
local function rescore(set, label, before, after, is_young)
  if before == after then
    return
  end
  local from, to = before and place_of(before, is_young), after and place_of(after, is_young)
  local unit = is_young and 1 or 4294967296
  local change = math.floor((after or 0) * unit + 0.5) - math.floor((before or 0) * unit + 0.5)
  local words = { 'INCRBY', 'i64', is_young and '#1' or '#0', change }
  if from ~= to then
    local n = 4
    if from then
      words[n + 1], words[n + 2], words[n + 3], words[n + 4] = 'INCRBY', 'u32', '#' .. from + 4, '-1'
      n = n + 4
    end
    if to then
      words[n + 1], words[n + 2], words[n + 3], words[n + 4] = 'INCRBY', 'u32', '#' .. to + 4, '1'
    end
  end
  call('BITFIELD', pool .. 'groups', unpack(words))
  if after then
    call('ZADD', pool .. set, after, label)
  else
    call('ZREM', pool .. set, label)
  end
end
