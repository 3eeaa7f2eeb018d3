-- moment: while a snapshot runs, keep what a script is about to change as it was at the snapshot's moment.
-- The first change after the moment saves; later ones find the field taken. '' says: did not exist.
local COUNTS = { 'completions', 'samples', 'evictions', 'failures', 'created' }

local function save_task(id)
  if saving and call('HEXISTS', prefix .. 'snapshot:tasks', id) == 0 then
    local record = call('HGETALL', pool .. 'task:' .. id)
    call('HSET', prefix .. 'snapshot:tasks', id, record[1] and cjson.encode(record) or '')
  end
end

local function save_label(label)
  if saving and call('HEXISTS', prefix .. 'snapshot:labels', label) == 0 then
    local saved = { progress = call('HGETALL', pool .. 'progress:' .. label), count = {}, epoch = {} }
    for _, what in ipairs(COUNTS) do
      saved.count[what] = call('HGET', pool .. 'count:' .. what, label)
      saved.epoch[what] = call('HGET', epoch .. what, label)
    end
    saved.active = call('HGET', pool .. 'labels', label)
    saved.inactive = call('ZSCORE', pool .. 'inactive', label)
    call('HSET', prefix .. 'snapshot:labels', label, cjson.encode(saved))
  end
end
