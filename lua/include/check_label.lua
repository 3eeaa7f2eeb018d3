-- check_label: before a task joins or leaves a label, or the pool, see that what is kept and counted can be read.
-- Needs: call, pool, epoch_prefix, whole_number, of_kind, load_label, own_of, OWN_TASKS, OWN_LABELS
-- Gives: check_pool, check_label
local function check_pool(id)
  for _, part in ipairs({ 'fresh', 'learning', 'ripe', 'inactive', 'task_weights' }) do
    of_kind('zset', pool .. part)
  end
  of_kind('hash', pool .. 'quarantine')
  own_of(OWN_TASKS, id, {})
end

local function check_label(label, what)
  for _, key in ipairs({ pool .. 'labels', pool .. 'count:' .. what, epoch_prefix .. what }) do
    whole_number(key, label, call('HGET', key, label) or '0')
  end
  load_label(label)
  of_kind('set', pool .. 'label:' .. label)
  own_of(OWN_LABELS, label, {})
end
