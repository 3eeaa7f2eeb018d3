-- check_label: before a task joins or leaves a label, see that what is kept and counted of that label can be read.
-- Needs: call, pool, epoch_prefix, whole_number, load_label
-- Gives: check_label
local function check_label(label, what)
  for _, key in ipairs({ pool .. 'labels', pool .. 'count:' .. what, epoch_prefix .. what }) do
    whole_number(key, label, call('HGET', key, label) or '0')
  end
  load_label(label)
end
