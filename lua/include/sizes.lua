-- sizes: how many tasks each of the three sorted sets holds, and which task stands at a place in them.
-- Needs: call, pool
-- Gives: fresh_count, learning_count, ripe_count, eligible_count, all_count, task_at
local fresh_count = call('ZCARD', pool .. 'fresh')
local learning_count, ripe_count = call('ZCARD', pool .. 'learning'), call('ZCARD', pool .. 'ripe')
local eligible_count = learning_count + ripe_count
local all_count = fresh_count + eligible_count

-- The task at a place of fresh, then learning, then ripe. Places are sent as text: numbers are printed to 17 digits.
local function task_at(place)
  local part = 'fresh'
  if place >= fresh_count then
    part, place = 'learning', place - fresh_count
    if place >= learning_count then
      part, place = 'ripe', place - learning_count
    end
  end
  place = string.format('%d', place)
  return call('ZRANGE', pool .. part, place, place)[1]
end
