-- statistics: read and write what is kept of a task or label. The truth is the field `stats`: doubles in the order that
-- the family declares. A few of them stand beside it as text, for people.
-- Needs: call, pool, new_task, new_label, unpack_task, unpack_label, rank, index_field, index_loaded
-- Gives: load_task, load_label

-- A task with its statistics; nil where it is not in the pool. Before its first result only completion_count is there.
local function load_task(id)
  local key, p = pool .. 'task:' .. id, nil
  local r = call('HMGET', key, 'label', 'stats', 'consecutive_failures')
  if r[1] then
    p = new_task(key)
    p.label, p.failing = r[1], r[3]
    if r[2] then
      unpack_task(p, r[2], key)
    end
    p.rank_before = rank(p)
    index_loaded(p)
  end
  return p
end

local function load_label(name)
  local key = pool .. 'progress:' .. name
  local p = new_label(key)
  local stats
  if index_field then
    local r = call('HMGET', key, 'stats', index_field)
    stats, p.index = r[1], r[2]
  else
    stats = call('HGET', key, 'stats')
  end
  if stats then
    unpack_label(p, stats, key)
  end
  index_loaded(p)
  return p
end
