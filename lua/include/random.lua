-- random: the curriculum's one stream, MRG32k3a (L'Ecuyer 1999), exact in doubles (_sampling/random_stream.py).
-- Every intermediate stays below 2^53; % is a - floor(a / b) * b. The state, in meta's field `random`, is six integers of eight
-- hexadecimal digits each: decimal ones cost 15,000 instructions a draw more to read and to write.
-- Needs: call, meta_key, meta, malformed
-- Gives: uniform, index, store_random
local s10, s11, s12, s20, s21, s22 = string.match(meta[4] or '',
  '^(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)$')
if not s10 then
  malformed(meta_key, 'random', meta[4])
end
s10, s11, s12 = tonumber(s10, 16), tonumber(s11, 16), tonumber(s12, 16)
s20, s21, s22 = tonumber(s20, 16), tonumber(s21, 16), tonumber(s22, 16)
if s10 + s11 + s12 == 0 or s10 >= 4294967087 or s11 >= 4294967087 or s12 >= 4294967087
  or s20 + s21 + s22 == 0 or s20 >= 4294944443 or s21 >= 4294944443 or s22 >= 4294944443 then
  malformed(meta_key, 'random', meta[4])
end

local function next_number()
  local p1 = 1403580 * s11 - 810728 * s10
  p1 = p1 % 4294967087
  if p1 < 0 then
    p1 = p1 + 4294967087
  end
  s10, s11, s12 = s11, s12, p1
  local p2 = 527612 * s22 - 1370589 * s20
  p2 = p2 % 4294944443
  if p2 < 0 then
    p2 = p2 + 4294944443
  end
  s20, s21, s22 = s21, s22, p2
  return p1 > p2 and p1 - p2 or p1 - p2 + 4294967087
end

local function uniform()
  local n = next_number()
  return n * 2.328306549295727688e-10
end

-- Exactly uniform in 0 .. n - 1: numbers in the incomplete last run of n are drawn again.
local function index(n)
  local limit, k = 4294967087 - 4294967087 % n, 0
  for _ = 1, 16 do
    local drawn_number = next_number()
    k = drawn_number - 1
    if k < limit then
      break
    end
  end
  return k % n
end

local function store_random()
  local hex = bit.tohex
  call('HSET', meta_key, 'random', hex(s10) .. hex(s11) .. hex(s12) .. hex(s20) .. hex(s21) .. hex(s22))
end
