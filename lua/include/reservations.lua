-- reservations: the indices that are set aside, in meta's field `reserved`: one line of six words each. Its worker is * where
-- nobody makes those tasks: whoever had reserved them had no room for them, or is gone. Such indices are the next to be given.
-- Needs: call, meta_key
-- Gives: load_reservations, store_reservations
local function load_reservations()
  local found = {}
  local lines = string.gmatch(call('HGET', meta_key, 'reserved') or '', '(%S+) (%d+) (%d+) (%d+) (%d) (%d+)\n')
  for holder, number, at, count, fills, since in lines do
    local range = { worker = holder, number = number, at = tonumber(at), count = tonumber(count) }
    range.fills, range.since = fills, tonumber(since)
    found[#found + 1] = range
  end
  return found
end

local function store_reservations(reservations)
  local lines = {}
  for _, r in ipairs(reservations) do
    if r.count > 0 then
      lines[#lines + 1] = string.format('%s %s %.0f %.0f %s %.0f\n', r.worker, r.number, r.at, r.count, r.fills, r.since)
    end
  end
  if lines[1] then
    call('HSET', meta_key, 'reserved', table.concat(lines))
  else
    call('HDEL', meta_key, 'reserved')
  end
end
