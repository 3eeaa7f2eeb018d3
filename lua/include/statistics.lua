-- statistics: read and write what is kept of a task or label. The truth is the field `stats`: doubles in the order that
-- the family declares. A few of them stand beside it as text, for people.
-- Needs: call, pool, unpack_task, unpack_label, rank, index_field, index_loaded
-- Gives: load_task, load_label

-- A task with its statistics; nil where it is not in the pool. Before its first result only completion_count is there.
local function load_task(id)
  local key = pool .. 'task:' .. id
  local r = call('HMGET', key, 'label', 'stats', 'consecutive_failures')
  if not r[1] then
    return nil
  end
  local p = { key = key, label = r[1], failing = r[3], completion_count = 0, count = 0 }
  if r[2] then
    unpack_task(p, r[2], key)
  end
  p.rank_before = rank(p)
  index_loaded(p)
  return p
end

local function load_label(name)
  local key = pool .. 'progress:' .. name
  local r = call('HMGET', key, 'stats', index_field)
  local p = { key = key, completion_count = 0, count = 0, index = r[2] }
  if r[1] then
    unpack_label(p, r[1], key)
  end
  index_loaded(p)
  return p
end
