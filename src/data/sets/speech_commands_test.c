#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <data/speech.h>
#include <data_scratch.h>

#include <math.h>

extern const struct ln__dataset ln__dataset_speech_commands;
extern const struct ln__partition ln__partition_writer;

#ifdef LINNET_HAVE_SNDFILE
#include <sndfile.h>

/* A tone of that pitch, with a little noise so that no two files are alike. */
static void put_tone(const char *name, double hertz, int samples, int rate, int channels)
{
    scratch_file(name, "", 0); /* makes the folders */
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *file = sf_open(scratch_path(name), SFM_WRITE, &info);
    assert_non_null(file);
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = (uint64_t)(hertz * 1000), .purpose = LN__FOR_TEST});
    short *sound = ln__mem_alloc((size_t)(samples * channels) * sizeof *sound);
    for (int i = 0; i < samples * channels; i++)
        sound[i] = (short)(8000 * sin(6.283185307 * hertz * i / rate) + 200 * ln__rng_normal(&rng));
    assert_int_equal(sf_write_short(file, sound, samples * channels), samples * channels);
    ln__mem_free(sound);
    sf_close(file);
}

/* Silence in floats, but for one sample. */
static void put_floats(const char *name, float odd)
{
    SF_INFO info = {.samplerate = 16000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *file = sf_open(scratch_path(name), SFM_WRITE, &info);
    assert_non_null(file);
    assert_int_equal(sf_write_float(file, (float[16]){[7] = odd}, 16), 16);
    sf_close(file);
}

static const char *const words[5] = {"yes", "no", "bed", "cat", "_background_noise_"};

/* Forty speakers say two words and two others; speaker s's pitch is the word's and s. */
static void put_all(void)
{
    char name[128];
    for (int w = 0; w < 4; w++)
        for (int s = 0; s < 40; s++) {
            snprintf(name, sizeof name, "speech-commands/%s/%08x_nohash_%d.wav", words[w], 0x9e3779b9u * (unsigned)(s + 1), s % 2);
            put_tone(name, 300 + 500 * w + 3 * s, s == 7 ? 9000 : s == 8 ? 17000 : 16000, 16000, 1);
        }
    put_tone("speech-commands/_background_noise_/hum.wav", 50, 40000, 16000, 1);
}

/* A tone's energy lies in the filter of its pitch: coefficients differ from silence's and are the same at any frame of the middle. */
static void tone_is_steady(void **state)
{
    (void)state;
    struct ln__mfcc *mfcc;
    struct ln_fault fault = {0};
    float second[LN__SPEECH_RATE], tone[LN__MFCC_SIZE], zero[LN__MFCC_SIZE], louder[LN__MFCC_SIZE];
    assert_int_equal(ln__mfcc_new(&mfcc, &fault), 0);
    memset(second, 0, sizeof second);
    ln__mfcc_make(mfcc, second, zero);
    for (int i = 0; i < LN__MFCC_SIZE; i++) /* all filters hold log(1e-6): the mean alone is not 0 */
        assert_true(fabsf(zero[i] - (i < 32 ? logf(1e-6F) * sqrtf(40) : 0)) < 1e-3F);
    for (int i = 0; i < LN__SPEECH_RATE; i++)
        second[i] = 0.1F * (float)sin(6.283185307 * 1000 * i / LN__SPEECH_RATE);
    ln__mfcc_make(mfcc, second, tone);
    for (int i = 0; i < LN__SPEECH_RATE; i++)
        second[i] *= 4;
    ln__mfcc_make(mfcc, second, louder);
    for (int k = 0; k < 32; k++)
        for (int t = 4; t < 28; t++)
            assert_true(fabsf(tone[32 * k + t] - tone[32 * k + 3]) < 0.15F * fabsf(tone[3]));
    assert_true(tone[5] > zero[5] + 10 && louder[5] > tone[5] + 2);
    ln__mfcc_free(mfcc);
}

static void opens_by_hash(void **state)
{
    (void)state;
    struct ln__set set, again;
    struct ln_fault fault;
    int64_t live = ln__mem_live();
    const char *yaml = "{words: [yes, no], unknown: 0.5, silence: 0.25, seed: 3}";
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, yaml, &set, &fault), LN_ENOENT);
    assert_fault_has(fault, "speech-commands: not found; unpack");
    put_all();
    if (scratch_open(&ln__dataset_speech_commands, yaml, &set, &fault))
        fail_msg("%s", fault.text);
    assert_true(set.c == 1 && set.h == 32 && set.w == 32 && set.classes == 4);
    assert_string_equal(set.class_name[0], "silence");
    assert_string_equal(set.class_name[1], "unknown");
    assert_string_equal(set.class_name[3], "no");
    uint32_t total = 0;
    for (int s = 0; s < LN__SPLITS; s++) {
        const struct ln__samples *samples = &set.split[s];
        uint32_t of[4] = {0};
        for (uint32_t i = 0; i < samples->count; i++) {
            of[samples->label[i]]++;
            assert_true(samples->owner[i] < samples->owners);
        }
        assert_true(of[2] > 0 && of[2] == of[3]);         /* speakers fall to one side with all they said */
        assert_int_equal(of[1], of[2]);                   /* 0.5 of both words */
        assert_int_equal(of[0], (of[2] + of[3] + 2) / 4); /* a quarter */
        assert_int_equal(samples->owners, of[2]);
        total += of[2];
    }
    assert_true(total <= 40);
    /* standardised: the training split's mean is 0, its deviation 1, for a coefficient */
    const struct ln__samples *train = &set.split[LN__TRAIN];
    double sum = 0, square = 0, n = train->count * 32.0;
    for (uint32_t i = 0; i < train->count; i++)
        for (int t = 0; t < 32; t++) {
            double value = train->real[i * LN__MFCC_SIZE + 5 * 32 + (uint32_t)t];
            sum += value;
            square += value * value;
        }
    assert_true(fabs(sum / n) < 1e-3 && fabs(square / n - 1) < 1e-2);

    /* from the cache, the same; a change of options makes it again; so does a damaged cache, and a change of a recording or of a
     * background noise */
    assert_true(ln__file_exists(scratch_path("speech-commands/mfcc.cache")));
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, yaml, &again, &fault), 0);
    assert_int_equal(again.split[LN__TEST].count, set.split[LN__TEST].count);
    assert_memory_equal(again.split[LN__TRAIN].real, train->real, train->count * LN__MFCC_SIZE * sizeof(float));
    assert_memory_equal(again.split[LN__TEST].real, set.split[LN__TEST].real, set.split[LN__TEST].count * LN__MFCC_SIZE * sizeof(float));
    ln__set_close(&again);
    assert_int_equal(
        scratch_open(&ln__dataset_speech_commands, "{words: [yes, no], unknown: 0.5, silence: 0.25, seed: 3, cache: false}", &again, &fault), 0);
    assert_memory_equal(again.split[LN__TRAIN].real, train->real, train->count * LN__MFCC_SIZE * sizeof(float));
    ln__set_close(&again);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [yes], unknown: 2, silence: 0, validation: train}", &again, &fault), 0);
    assert_int_equal(again.classes, 3);
    ln__set_close(&again);

    scratch_file("speech-commands/mfcc.cache", "LNMFCC1", 8);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, yaml, &again, &fault), 0);
    assert_memory_equal(again.split[LN__TRAIN].real, train->real, train->count * LN__MFCC_SIZE * sizeof(float));
    ln__set_close(&again);
    for (int i = 0; i < 2; i++) {
        put_tone("speech-commands/_background_noise_/hum.wav", i ? 50 : 70, 40000, 16000, 1);
        assert_int_equal(scratch_open(&ln__dataset_speech_commands, yaml, &again, &fault), 0);
        int differ = memcmp(again.split[LN__TRAIN].real, train->real, train->count * LN__MFCC_SIZE * sizeof(float));
        assert_int_equal(differ != 0, i == 0);
        ln__set_close(&again);
    }
    for (int s = 0; s < 40; s++) {
        char name[128];
        snprintf(name, sizeof name, "speech-commands/yes/%08x_nohash_%d.wav", 0x9e3779b9u * (unsigned)(s + 1), s % 2);
        put_tone(name, 2000 + s, 16000, 16000, 1);
    }
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, yaml, &again, &fault), 0);
    assert_memory_not_equal(again.split[LN__TRAIN].real, train->real, train->count * LN__MFCC_SIZE * sizeof(float));
    ln__set_close(&again);

    struct scratch_options options = scratch_bind(&ln__partition_writer.plugin, "{}");
    const struct ln__partition_args args = {.samples = train, .classes = 4, .clients = 3, .seed = 1};
    struct ln__shares shares;
    assert_int_equal(ln__shares_make(&options.choice, &args, &shares, &fault), 0);
    assert_int_equal(shares.start[3], train->count);
    ln__shares_free(&shares);
    scratch_unbind(&options);
    ln__set_close(&set);
    assert_int_equal(ln__mem_live(), live);
}

static void opens_by_lists(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    const char *testing = "yes/9e3779b9_nohash_0.wav\r\nno/9e3779b9_nohash_0.wav\n", *validation = "yes/3c6ef372_nohash_1.wav";
    scratch_file("speech-commands/testing_list.txt", testing, strlen(testing));
    scratch_file("speech-commands/validation_list.txt", validation, strlen(validation));
    const char *yaml[3] = {"{words: [yes, no], unknown: 0, silence: 0}", "{words: [yes, no], unknown: 0, silence: 0, validation: train}",
                           "{words: [yes, no], unknown: 0, silence: 0, validation: test}"};
    const uint32_t train[3] = {77, 78, 77}, test[3] = {2, 2, 3};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(scratch_open(&ln__dataset_speech_commands, yaml[i], &set, &fault), 0);
        assert_int_equal(set.split[LN__TRAIN].count, train[i]);
        assert_int_equal(set.split[LN__TEST].count, test[i]);
        ln__set_close(&set);
    }
}

/* Every third allocation of the library fails in turn; libsndfile's own are not counted. */
static void survives_no_memory(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    struct scratch_options options =
        scratch_bind(&ln__dataset_speech_commands.plugin, "{words: [yes, no], unknown: 0.1, silence: 0.1, cache: false}");
    int64_t live = ln__mem_live();
    for (uint64_t nth = 1;; nth += 3) {
        fault = (struct ln_fault){0};
        ln__mem_fail_at(nth);
        int code = ln__set_open(&options.choice, scratch_dir, &set, &fault);
        ln__mem_fail_at(0);
        if (code == 0)
            break;
        assert_int_equal(code, LN_ENOMEM);
        assert_true(fault.text[0] != 0);
        assert_int_equal(ln__mem_live(), live);
    }
    ln__set_close(&set);
    scratch_unbind(&options);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [yes, maybe]}", &set, &fault), LN_ENOENT);
    assert_fault_has(fault, "speech-commands/maybe: not found");
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [../x]}", &set, &fault), LN_ECONFIG);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: []}", &set, &fault), LN_ECONFIG);
    put_tone("speech-commands/no/aa_nohash_0.wav", 440, 8000, 8000, 1);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [yes, no]}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "aa_nohash_0.wav: 1 channels at 8000 Hz; expected one at 16000");
    put_tone("speech-commands/no/aa_nohash_0.wav", 440, 8000, 16000, 2);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [yes, no]}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "2 channels");
    scratch_file("speech-commands/no/aa_nohash_0.wav", "RIFF....WAVE", 12);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [yes, no]}", &set, &fault), LN_ECORRUPT);
    assert_fault_has(fault, "not a readable WAV file");
    for (int i = 0; i < 2; i++) {
        put_floats("speech-commands/no/aa_nohash_0.wav", i ? 1e25F : NAN);
        assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [yes, no]}", &set, &fault), LN_ECORRUPT);
        assert_fault_has(fault, i ? "aa_nohash_0.wav: sample 7 is 1e+25; expected -1 to 1" : "aa_nohash_0.wav: sample 7 is nan");
    }
    assert_int_equal(remove(scratch_path("speech-commands/no/aa_nohash_0.wav")), 0);
    assert_int_equal(remove(scratch_path("speech-commands/_background_noise_/hum.wav")), 0);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{words: [yes, no]}", &set, &fault), LN_ENOENT);
    assert_fault_has(fault, "_background_noise_: holds no .wav");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tone_is_steady), cmocka_unit_test(opens_by_hash), cmocka_unit_test(opens_by_lists),
                                       cmocka_unit_test(survives_no_memory), cmocka_unit_test(refuses_what_does_not_fit)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}

#else

static void says_what_is_missing(void **state)
{
    (void)state;
    struct ln__set set;
    struct ln_fault fault;
    assert_false(ln__speech_exists);
    assert_int_equal(scratch_open(&ln__dataset_speech_commands, "{}", &set, &fault), LN_EUNSUPPORTED);
    assert_fault_has(fault, "libsndfile1-dev");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_what_is_missing)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}

#endif
