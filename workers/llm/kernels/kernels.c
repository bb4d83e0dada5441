// Attention over the paged cache, and the small operators between a model's linear layers, on a CPU.
//
// Every row (a token, or a query of one head) is computed in an order that depends on nothing but the
// row itself: results never depend on what else is in the batch. Sums are float32 for every type.
// Vectors are GCC's own, so that one text serves every processor; the compiler splits what is too wide.

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 16, ROWS = 6, PANEL = 64, VECTORS = PANEL / WIDTH };
// Of attention: rows by keys of a tile, whose scores and values stay in the first cache.
enum { TILE_ROWS = 24, TILE_KEYS = 256, TILE_GROUPS = TILE_KEYS / WIDTH };

// Of attention, whose weights are powers of 2.
#define LOG2_E 1.44269504f

typedef float vec __attribute__((vector_size(64)));
typedef int32_t ivec __attribute__((vector_size(64)));
typedef uint32_t uvec __attribute__((vector_size(64)));
typedef uint16_t hvec __attribute__((vector_size(32)));
// The same without alignment, for what lies in memory.
typedef float loose_vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t loose_hvec __attribute__((vector_size(32), aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

#include "pool.inc"

// One attention layer. With units of 32 bits (one float, or two bfloat16, side by side, as products take them)
// keys are [blocks][kv heads][units of key size][block tokens], so that scores of 16 keys are one vector, and
// values [blocks][kv heads][units of block tokens][value size].
typedef struct {
    int64_t num_heads, num_kv_heads, key_size, value_size, block_tokens;
    int64_t window;     // keys that a query sees, itself included; 0: all
    int64_t rope_size;  // channels that are turned, each with the one half as many further; 0: none
    int64_t query_token, query_head, key_token, key_head, value_token, value_head;  // strides, in numbers
    float scaling, softcap, norm_eps;  // softcap 0: none
    void *keys, *values;
    const float *sinks;                  // [heads], or none
    const void *query_norm, *key_norm;   // [key size]: weights of an RMSNorm before the turning, or none
} Layer;

// The chunks of one step, as `Batch` has them.
typedef struct {
    int64_t num_chunks, table_width;
    const int64_t *starts, *ends, *offsets, *tables, *slots;
} Step;

INLINE int64_t units(int64_t size, int64_t unit) { return (size + unit - 1) / unit; }
INLINE int64_t round_up(int64_t size, int64_t unit) { return units(size, unit) * unit; }

INLINE float sum_of(vec x) {
    float sums[WIDTH];
    memcpy(sums, &x, sizeof x);
    for (int width = WIDTH / 2; width; width /= 2)
        for (int i = 0; i < width; i++) sums[i] += sums[i + width];
    return sums[0];
}

INLINE float max_of(vec x) {
    float most[WIDTH];
    memcpy(most, &x, sizeof x);
    for (int i = 1; i < WIDTH; i++) most[0] = most[i] > most[0] ? most[i] : most[0];
    return most[0];
}

// b where one of them is no number.
INLINE vec larger(vec a, vec b) {
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#else
    ivec is_a = a > b;
    return (vec)((is_a & (ivec)a) | (~is_a & (ivec)b));
#endif
}

INLINE vec choose(ivec is_first, vec first, vec second) {
    return (vec)((is_first & (ivec)first) | (~is_first & (ivec)second));
}

// e^x to some 2 units of the last place; 0 below -87, where float32 has nothing but subnormals left.
INLINE vec exp_of(vec x) {
    const vec low = (vec){} - 87.0f, high = (vec){} + 88.0f;
    ivec is_tiny = x < low;
    vec y = choose(x > high, high, choose(is_tiny, low, x));
    vec turns = y * 1.44269504f + 12582912.0f;  // rounds to the nearest integer, in the low bits
    ivec power = (ivec)turns - 0x4b400000;
    vec n = turns - 12582912.0f;
    y = y - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = (vec){} + 1.9875691500e-4f;
    p = p * y + 1.3981999507e-3f;
    p = p * y + 8.3334519073e-3f;
    p = p * y + 4.1665795894e-2f;
    p = p * y + 1.6666665459e-1f;
    p = p * y + 5.0000001201e-1f;
    p = p * y * y + y + 1.0f;
    vec result = (vec)((ivec)p + (power << 23));
    // What is no number stays none: every comparison with it is false.
    return choose(x != x, x, choose(is_tiny, (vec){}, result));
}

// 2^x of x up to 0, to some 2 units of the last place; 0 below -126.
INLINE vec power_of_2(vec x) {
    const vec low = (vec){} - 126.0f;
    ivec is_seen = ~(x < low);
    vec y = larger(low, x);
    vec turns = y + 12582912.0f;  // rounds to the nearest integer, in the low bits
    vec f = y - (turns - 12582912.0f);
    vec p = 1.5403530e-4f - (vec){};
    p = p * f + 1.3333558e-3f;
    p = p * f + 9.6181291e-3f;
    p = p * f + 5.5504109e-2f;
    p = p * f + 2.4022651e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.0f;
    return (vec)(is_seen & ((ivec)p + ((ivec)turns << 23)));
}

// 1 - 2 / (1 + e^2x)
INLINE vec tanh_of(vec x) { return 1.0f - 2.0f / (1.0f + exp_of(2.0f * x)); }

INLINE vec silu(vec x) { return x / (1.0f + exp_of(-x)); }

// x * (1 + tanh(z)) / 2 is x / (1 + e^-2z).
INLINE vec gelu_tanh(vec x) {
    vec z = 0.7978845608f * (x + 0.044715f * x * x * x);
    return x / (1.0f + exp_of(-2.0f * z));
}

// A buffer of the calling thread that only grows.
static void *scratch(size_t num_bytes) {
    static __thread void *buffer;
    static __thread size_t size;
    if (size < num_bytes) {
        free(buffer);
        size = 0;
        buffer = aligned_alloc(64, (num_bytes + 4095) / 4096 * 4096);
        if (buffer) size = num_bytes;
    }
    return buffer;
}

typedef uint16_t bfloat16;

INLINE vec load_float(const float *p) { return *(const loose_vec *)p; }
INLINE void store_float(float *p, vec x) { *(loose_vec *)p = x; }
INLINE vec load_bfloat16(const bfloat16 *p) {
    return (vec)(__builtin_convertvector(*(const loose_hvec *)p, uvec) << 16);
}
INLINE void store_bfloat16(bfloat16 *p, vec x) {
    uvec bits = (uvec)x;
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to the nearest, ties to even
    *(loose_hvec *)p = __builtin_convertvector(bits, hvec);
}

// Products. `sums` + each 32 bits of `x` (the same in all lanes) times those of `weights`.
INLINE vec multiply_float(vec sums, vec x, vec weights) { return sums + x * weights; }

#if defined(__AVX512BF16__)
INLINE vec multiply_bfloat16(vec sums, vec x, vec weights) {
    return (vec)_mm512_dpbf16_ps((__m512)sums, (__m512bh)x, (__m512bh)weights);
}
#else
INLINE vec multiply_bfloat16(vec sums, vec x, vec weights) {
    const uvec high = (uvec){} + 0xffff0000u;
    sums += (vec)((uvec)x << 16) * (vec)((uvec)weights << 16);
    return sums + (vec)((uvec)x & high) * (vec)((uvec)weights & high);
}
#endif

// Where these products are quicker than oneDNN's: not where registers are narrower, nor where there is AMX.
#if defined(__AVX512F__)
int has_products_float(void) { return 1; }
#else
int has_products_float(void) { return 0; }
#endif
#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
int has_products_bfloat16(void) { return 1; }
#else
int has_products_bfloat16(void) { return 0; }
#endif

#include "weights.inc"

#define NAME(name) NAME_(name, TYPE)
#define NAME_(name, type) NAME__(name, type)
#define NAME__(name, type) name##_##type
// Products are named by their weights too.
#define BY(name) BY_(name, TYPE, WEIGHT)
#define BY_(name, type, weight) BY__(name, type, weight)
#define BY__(name, type, weight) name##_##type##_##weight

#define TYPE float
#include "typed.inc"
#include "attention.inc"
#define WEIGHT float
#include "products.inc"
#undef WEIGHT
#define WEIGHT bfloat16
#include "products.inc"
#undef TYPE
#define TYPE bfloat16
#include "typed.inc"
#include "attention.inc"
#include "products.inc"
