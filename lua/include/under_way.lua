-- under_way: the current epoch's counters, and whether a snapshot is being written. The caller has read meta[2], the epoch,
-- and meta[3], the marker of a snapshot.
-- Needs: call, prefix, meta_key, meta
-- Gives: epoch_prefix, saving
local epoch_prefix = prefix .. 'epoch:' .. meta[2] .. ':'
local saving = meta[3] and call('EXISTS', prefix .. 'snapshot') == 1
if meta[3] and not saving then -- its exporter died
  call('HDEL', meta_key, 'snapshot')
end
