-- sizes: how many tasks each of the three sorted sets holds, and which task stands at a place in them.
-- Needs: call, pool
-- Gives: fresh_count, learning_count, ripe_count, all_count, id_at, task_at
local fresh_count = call('ZCARD', pool .. 'fresh')
local learning_count, ripe_count = call('ZCARD', pool .. 'learning'), call('ZCARD', pool .. 'ripe')
local all_count = fresh_count + learning_count + ripe_count

-- Id and, with WITHSCORES, score at a place: as text, since numbers are printed to 17 digits, each time.
local function id_at(part, place, ...)
  place = string.format('%d', place)
  return unpack(call('ZRANGE', pool .. part, place, place, ...))
end

-- The task at a place of fresh, then learning, then ripe.
local function task_at(place)
  if place < fresh_count then
    return (id_at('fresh', place))
  end
  place = place - fresh_count
  if place < learning_count then
    return (id_at('learning', place))
  end
  return (id_at('ripe', place - learning_count))
end
