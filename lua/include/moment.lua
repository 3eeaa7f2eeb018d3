-- moment: while a snapshot runs, keep what a script is about to change as it was at the snapshot's moment.
-- The first change after the moment saves; later ones find the field taken. '' says: did not exist.
--@include counts

local function save_task(id)
  if saving and call('HEXISTS', prefix .. 'snapshot:tasks', id) == 0 then
    local record = call('HGETALL', pool .. 'task:' .. id)
    call('HSET', prefix .. 'snapshot:tasks', id, record[1] and cjson.encode(record) or '')
  end
end

local function label_as_it_is(label)
  local found = { progress = call('HGETALL', pool .. 'progress:' .. label), count = {}, epoch = {} }
  local moment_epoch = prefix .. 'epoch:' .. meta[3] .. ':' -- the marker is the moment's epoch
  for _, what in ipairs(COUNTS) do
    found.count[what] = call('HGET', pool .. 'count:' .. what, label)
    found.epoch[what] = call('HGET', moment_epoch .. what, label)
  end
  found.active = call('HGET', pool .. 'labels', label)
  found.inactive = call('ZSCORE', pool .. 'inactive', label)
  return cjson.encode(found)
end

local function save_label(label)
  if saving and call('HEXISTS', prefix .. 'snapshot:labels', label) == 0 then
    call('HSET', prefix .. 'snapshot:labels', label, label_as_it_is(label))
  end
end
