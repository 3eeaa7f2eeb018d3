-- batch: draw distinct tasks under a key, once: whoever asks with that key is answered with the same ids, in one order.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] key str what the batch is asked for by
-- ARGV[6] count int tasks in the whole batch
-- ARGV[7] known int so many of them the caller knows; where there are more, or fewer, nothing is drawn
-- ARGV[8] draws int at most so many are drawn by this call
-- ARGV[9] skip_right int a task of the latest so many batches is passed over if its last score is 1
-- ARGV[10] skip_wrong int the same where it is 0
-- ARGV[11] retained int so many batches are kept, this one included; the oldest go
-- ARGV[12] chosen str ids, separated by spaces, that are taken instead of drawn: chosen by the caller by the same probabilities, or
--   drawn before the server lost them; or empty
-- Returns [repeated, config_version, tasks that can be drawn, count that the batch was first asked for with, its ids so far
--   separated by spaces]; where these are fewer than the batch none is drawn
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first
-- Atomic. Expected O(draws x log pool), and O(ids of the batches looked back at) if tasks are passed over; after 64 + 8 x draws
-- picks that do not count the call ends with fewer.

--@include guard
--@include sizes
--@include moment
--@include random
--@include batches
local asked, ids = read_batch(key)
count, known = tonumber(count), tonumber(known)
local drawable = all_count - (meta[9] and call('ZCOUNT', pool .. 'task_weights', 0, 0) or 0)
local before, is_ours = #ids, not repeated and #ids == known and (asked or count) == count
if is_ours and before < count and count <= drawable then
  if chosen == '' then
    local draws = math.min(tonumber(draws), count - before)
    --@include batch_draws
  else
    --@include hand_out
    for id in string.gmatch(chosen, '%d+') do
      if hand_out_again(id) then
        ids[#ids + 1] = id
      end
    end
  end
  if #ids > before then
    local drawn, answer = {}, {}
    for i = before + 1, #ids do
      drawn[i - before] = ids[i]
    end
    --@include count_samples
    keep_batch(ids, count, tonumber(retained))
  end
end
if not repeated then
  call('HSET', worker_key, 'sequence', sequence)
end
return { repeated and 1 or 0, tonumber(meta[7]), drawable, asked or count, table.concat(ids, ' ') }
