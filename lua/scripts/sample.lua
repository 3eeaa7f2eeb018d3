-- sample: draw tasks for a worker to play; each counts as sampled, once.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation the caller believes in
-- ARGV[2] worker str id of the calling worker
-- ARGV[3] sequence int grows by one with each write of that worker
-- ARGV[4] lease_ms int renews the lease for so long; 0: not due
-- ARGV[5] count int tasks to draw
-- ARGV[6] may_replace flag whether the caller can make new tasks
-- ARGV[7] replay str ids, separated by spaces, that were drawn before the server lost them: counted, not drawn; or empty
-- ARGV[8] distinct int so many draws of the caller shall be of different tasks; 0: with repetition. Of a smaller pool none is drawn
-- ARGV[9] chosen str ids that the caller has chosen by the same probabilities, handed out instead of drawn; or empty
-- Returns [repeated, config_version, wanted, missing, outcomes n, n outcomes..., then (id, label, params) of each
--   drawn task]: wanted draws shall be new tasks (call replace); missing: how many tasks the pool lacks to
--   its capacity, below 0 where more were added
-- Errors RCSTALE generation: a restore replaced it; RCFENCED worker: its lease ended; RCGAP last: writes after `last` are missing; RCUNINDEXED version: reindex first
-- Atomic. Expected O(count x log pool); after some 1,024 trials or 64 + 4 x count repeated picks in all the call ends with fewer tasks.

--@include guard
if repeated then
  --@include reply_again
  return reply_again()
end
--@include draw
local outcomes, missing = {}, num_active_tasks - all_count
--@include reply
return answer
