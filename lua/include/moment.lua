-- moment: while a snapshot runs, keep what a script is about to change as it was at the snapshot's moment.
-- The first change after the moment saves; later ones find the field taken. '' says: did not exist.
-- Needs: call, prefix, pool, saving
-- Gives: save_task, save_label
local function save_task() end
local save_label = save_task
if saving then
  --@include record
  --@include label_state
  save_task = function(id)
    if call('HEXISTS', prefix .. 'snapshot:tasks', id) == 0 then
      local record = whole_task(pool .. 'task:' .. id)
      call('HSET', prefix .. 'snapshot:tasks', id, record[1] and cjson.encode(record) or '')
    end
  end
  save_label = function(label)
    if call('HEXISTS', prefix .. 'snapshot:labels', label) == 0 then
      call('HSET', prefix .. 'snapshot:labels', label, label_as_it_is(label))
    end
  end
end
