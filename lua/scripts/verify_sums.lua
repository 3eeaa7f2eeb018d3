-- verify_sums: what is kept of all labels together for the draws.
-- KEYS[1] meta hash rc:{name}:meta
-- ARGV[1] generation int the generation to look at
-- ARGV[2] current str what meta.generation must be; empty: no curriculum
-- Returns names and values: one flat list
-- Errors RCSTALE generation: a restore replaced it
-- Reads only.

--@include keys
if (call('HGET', meta_key, 'generation') or '') ~= current then
  return redis.error_reply('RCSTALE ' .. (call('HGET', meta_key, 'generation') or 'gone'))
end
--@include index_state
return index_sums()
