"""The C programs of an exported network, as texts with placeholders such as ``@CLASSES@``."""

_COMMON = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bknn_network.h"

#define HEIGHT @HEIGHT@
#define WIDTH @WIDTH@
#define CHANNELS @CHANNELS@
#define CLASSES @CLASSES@
#define PIXELS (HEIGHT * WIDTH * CHANNELS)

#if BKNN_NETWORK_ARENA_SIZE > 0
static _Alignas(BKNN_NETWORK_ARENA_ALIGNMENT) uint8_t arena[BKNN_NETWORK_ARENA_SIZE];
#define ARENA arena
#else
#define ARENA NULL
#endif

static int8_t input[PIXELS];
static int8_t output[CLASSES];
"""

MAIN = (
    """/* Classify images.
 *
 *     cc -std=c11 -O2 main.c bknn_*.c -o classify
 *     ./classify < images.raw
 *
 * Each image is @HEIGHT@ x @WIDTH@ x @CHANNELS@ bytes: rows from the top, the channels of a pixel one after another.
 * Each line of the output has the score of every class and then the name of the class with the highest score. The
 * softmax of the scores divided by @TEMPERATURE@ is the calibrated probabilities.
 */
"""
    + _COMMON.lstrip()
    + """
static const char *const names[CLASSES] = {@NAMES@};
static const float means[CHANNELS] = {@MEANS@}; /* of the training pixels, from 0 to 1 */
static const float stds[CHANNELS] = {@STDS@};

/* Normalise a pixel as in the training, and round it to the 8 bits of the network. */
static int8_t quantize(uint8_t pixel, int channel)
{
    float value = ((float)pixel / 255.0f - means[channel]) / stds[channel] / BKNN_NETWORK_INPUT_SCALE;
    int rounded = (int)(value + (value < 0.0f ? -0.5f : 0.5f)) + BKNN_NETWORK_INPUT_ZERO_POINT;
    return (int8_t)(rounded < -128 ? -128 : rounded > 127 ? 127 : rounded);
}

int main(void)
{
    static uint8_t image[PIXELS];
    while (fread(image, 1, PIXELS, stdin) == PIXELS) {
        int best = 0;
        for (int index = 0; index < PIXELS; index++)
            input[index] = quantize(image[index], index % CHANNELS);
        bknn_network_infer(ARENA, input, output);
        for (int index = 0; index < CLASSES; index++) {
            if (output[index] > output[best])
                best = index;
            float steps = (float)(output[index] - BKNN_NETWORK_OUTPUT_ZERO_POINT);
            printf("%.9g ", (double)(BKNN_NETWORK_OUTPUT_SCALE * steps));
        }
        printf("%s\\n", names[best]);
    }
    return 0;
}
"""
)

TIMING = (
    """/* Time the network, and print one line of JSON for archsieve.
 *
 *     cc -std=c11 -O2 timing.c bknn_*.c -o timing
 *     ./timing
 */
"""
    + _COMMON.lstrip()
    + """
#include <stdlib.h>
#include <time.h>

#define RUNS 51
#define LEAST_MS 1.0 /* of one measurement: the clock is coarse, so short networks run several times */

static double milliseconds(int times)
{
    clock_t start = clock();
    for (int run = 0; run < times; run++)
        bknn_network_infer(ARENA, input, output);
    return 1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC / times;
}

static int ascending(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

int main(void)
{
    static double measured[RUNS];
    int times = 1;
    while (milliseconds(times) * times < LEAST_MS)
        times *= 2;
    for (int run = 0; run < RUNS; run++)
        measured[run] = milliseconds(times);
    qsort(measured, RUNS, sizeof measured[0], ascending);
    printf("{\\"latency_ms_p50\\": %.9g, \\"latency_ms_p90\\": %.9g, \\"n\\": %d}\\n", measured[RUNS / 2],
           measured[RUNS * 9 / 10], RUNS);
    return 0;
}
"""
)
