-- label_state: all that is known of a label, as one JSON text. The caller has read meta[3], the moment's epoch.
-- Needs: call, prefix, pool, meta, COUNTS, whole_label, index_state, own_of, OWN_LABELS
-- Gives: label_as_it_is
local function label_as_it_is(label)
  local found = { progress = whole_label(pool .. 'progress:' .. label), count = {}, epoch = {} }
  local moment_epoch = prefix .. 'epoch:' .. meta[3] .. ':' -- the marker is the moment's epoch
  for _, what in ipairs(COUNTS) do
    found.count[what] = call('HGET', pool .. 'count:' .. what, label)
    found.epoch[what] = call('HGET', moment_epoch .. what, label)
  end
  found.active = call('HGET', pool .. 'labels', label)
  found.inactive = call('ZSCORE', pool .. 'inactive', label)
  found.index = index_state(label)
  found.own = own_of(OWN_LABELS, label, {})
  return cjson.encode(found)
end
