-- reader: a read of the generation the caller believes in; writes nothing.
-- Needs: call, meta_key, generation
-- Gives: packed_hypers
local live = call('HMGET', meta_key, 'generation', 'hypers')
if live[1] ~= generation then
  return redis.error_reply('RCSTALE ' .. (live[1] or 'gone'))
end
local packed_hypers = live[2]
