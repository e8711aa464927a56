#include "data/speech.h"

#ifdef LINNET_HAVE_SNDFILE

#include "base/mem.h"
#include <kiss_fftr.h>
#include <math.h>
#include <sndfile.h>
#include <string.h>

enum { WINDOW = 640, HOP = 500, POINTS = 1024, BINS = POINTS / 2 + 1, MELS = 40, LEAD = (WINDOW + HOP * (LN__MFCC_SIDE - 1) - LN__SPEECH_RATE) / 2 };
#define SAMPLE_MAX 32768 /* floats that hold numbers of 16 bits */
#define PI 3.14159265358979323846

const bool ln__speech_exists = true;

int ln__wav_read(const char *path, float *sample, size_t most, size_t *count, struct ln_fault *fault)
{
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: not a readable WAV file: %s", path, sf_strerror(NULL));
    int code = 0;
    if (info.channels != 1 || info.samplerate != LN__SPEECH_RATE)
        code =
            ln_fault_set(fault, LN_ECORRUPT, "%s: %d channels at %d Hz; expected one at %d", path, info.channels, info.samplerate, LN__SPEECH_RATE);
    sf_count_t got = code ? 0 : sf_readf_float(file, sample, (sf_count_t)most);
    if (code == 0 && got <= 0)
        code = ln_fault_set(fault, LN_ECORRUPT, "%s: holds no sound", path);
    for (sf_count_t i = 0; code == 0 && i < got; i++)
        if (!(fabsf(sample[i]) <= SAMPLE_MAX)) /* WAV files of floats may hold anything, and one absurd value would be in every mean */
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: sample %lld is %g; expected -1 to 1, or numbers of 16 bits", path, (long long)i,
                                (double)sample[i]);
    sf_close(file);
    *count = code ? 0 : (size_t)got;
    return code;
}

struct ln__mfcc {
    void *plan; /* kissfft's, in memory of ours */
    float window[WINDOW];
    float filter[MELS][BINS];
    int from[MELS], to[MELS]; /* bins where a filter is not 0 */
    float cosine[LN__MFCC_SIDE][MELS];
    float frame[POINTS];
    kiss_fft_cpx spectrum[BINS];
};

static double mel_of(double hertz)
{
    return 2595 * log10(1 + hertz / 700);
}

static void fill_tables(struct ln__mfcc *mfcc)
{
    for (int i = 0; i < WINDOW; i++)
        mfcc->window[i] = (float)(0.5 - 0.5 * cos(2 * PI * (i + 0.5) / WINDOW));
    double low = mel_of(20), step = (mel_of(LN__SPEECH_RATE / 2.0) - low) / (MELS + 1);
    for (int m = 0; m < MELS; m++) {
        mfcc->from[m] = BINS;
        for (int b = 0; b < BINS; b++) {
            double place = (mel_of((double)b * LN__SPEECH_RATE / POINTS) - low) / step - m; /* 0 to 1 rising, 1 to 2 falling */
            double weight = place < 1 ? place : 2 - place;
            if (weight <= 0)
                continue;
            mfcc->filter[m][b] = (float)weight;
            mfcc->from[m] = b < mfcc->from[m] ? b : mfcc->from[m];
            mfcc->to[m] = b + 1;
        }
    }
    for (int k = 0; k < LN__MFCC_SIDE; k++)
        for (int m = 0; m < MELS; m++)
            mfcc->cosine[k][m] = (float)(sqrt((k ? 2.0 : 1.0) / MELS) * cos(PI * k * (m + 0.5) / MELS));
}

int ln__mfcc_new(struct ln__mfcc **out, struct ln_fault *fault)
{
    size_t size = 0;
    kiss_fftr_alloc(POINTS, 0, NULL, &size);
    struct ln__mfcc *mfcc = *out = ln__mem_zero(1, sizeof *mfcc);
    if (mfcc)
        mfcc->plan = ln__mem_alloc(size);
    if (!mfcc || !mfcc->plan || !kiss_fftr_alloc(POINTS, 0, mfcc->plan, &size)) {
        ln__mfcc_free(mfcc);
        *out = NULL;
        return ln_fault_set(fault, LN_ENOMEM, "no memory for a spectrum of %d points", POINTS);
    }
    fill_tables(mfcc);
    return 0;
}

void ln__mfcc_free(struct ln__mfcc *mfcc)
{
    if (mfcc)
        ln__mem_free(mfcc->plan);
    ln__mem_free(mfcc);
}

void ln__mfcc_make(struct ln__mfcc *mfcc, const float sample[LN__SPEECH_RATE], float out[LN__MFCC_SIZE])
{
    for (int t = 0; t < LN__MFCC_SIDE; t++) {
        float level[MELS];
        for (int i = 0; i < WINDOW; i++) {
            int at = t * HOP + i - LEAD;
            mfcc->frame[i] = at >= 0 && at < LN__SPEECH_RATE ? sample[at] * mfcc->window[i] : 0;
        }
        kiss_fftr(mfcc->plan, mfcc->frame, mfcc->spectrum); /* behind WINDOW the frame stays 0 */
        for (int m = 0; m < MELS; m++) {
            float energy = 1e-6F;
            for (int b = mfcc->from[m]; b < mfcc->to[m]; b++)
                energy += mfcc->filter[m][b] * (mfcc->spectrum[b].r * mfcc->spectrum[b].r + mfcc->spectrum[b].i * mfcc->spectrum[b].i);
            level[m] = logf(energy);
        }
        for (int k = 0; k < LN__MFCC_SIDE; k++) {
            float sum = 0;
            for (int m = 0; m < MELS; m++)
                sum += mfcc->cosine[k][m] * level[m];
            out[k * LN__MFCC_SIDE + t] = sum;
        }
    }
}

#else

const bool ln__speech_exists = false;

static int absent(struct ln_fault *fault)
{
    return ln_fault_set(fault, LN_EUNSUPPORTED,
                        "this linnet was built without libsndfile and kissfft, which read speech; install "
                        "libsndfile1-dev and libkissfft-dev and build again");
}

int ln__wav_read(const char *path, float *sample, size_t most, size_t *count, struct ln_fault *fault)
{
    (void)path;
    (void)sample;
    (void)most;
    *count = 0;
    return absent(fault);
}

int ln__mfcc_new(struct ln__mfcc **out, struct ln_fault *fault)
{
    *out = NULL;
    return absent(fault);
}

void ln__mfcc_free(struct ln__mfcc *mfcc)
{
    (void)mfcc;
}

void ln__mfcc_make(struct ln__mfcc *mfcc, const float sample[LN__SPEECH_RATE], float out[LN__MFCC_SIZE])
{
    (void)mfcc;
    (void)sample;
    for (int i = 0; i < LN__MFCC_SIZE; i++)
        out[i] = 0;
}

#endif
