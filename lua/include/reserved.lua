-- reserved: the tasks that come are for indices that this worker has reserved, from `first` on. Nothing is written before.
-- Needs: call, meta_key, worker, first, load_reservations, store_reservations, whole_number
-- Gives: end_reservation
local reservations, mine = load_reservations(), nil
for _, r in ipairs(reservations) do
  if r.worker == worker and r.at == tonumber(first) then
    mine = r
  end
end
if not mine then
  local next_index = call('HGET', meta_key, 'next_index')
  whole_number(meta_key, 'next_index', next_index)
  return redis.error_reply('RCINDEX ' .. next_index)
end

-- From `at` on its indices have no task.
local function end_reservation(at)
  mine.worker, mine.number, mine.fills, mine.since = '*', '0', '0', 0
  mine.at, mine.count = tonumber(at), mine.at + mine.count - at
  store_reservations(reservations)
end
