# Augmentation of images (height, width, channels) without gaps; the random numbers are counter-based.

from libc.math cimport M_PI, cos, expm1, log, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastconv.kernels.random cimport fc_philox, fc_uniform
from fastconv.kernels.real cimport real

cdef enum:
    HORIZONTAL_FLIP
    RANDOM_CROP
    COLOR_JITTER
    RANDOM_ERASING
    MIXUP
    CUTMIX

cdef enum:
    RECTANGLES = 100  # that random erasing tries at most

ctypedef struct Augmentation:
    # One step of a recipe; each kind reads what it needs.
    int kind
    int padding                                     # of a crop, in pixels
    int reflect                                     # into the padding; else it is zero
    double p                                        # probability
    double brightness, contrast, saturation
    double least_area, most_area                    # of the image
    double least_ratio, most_ratio                  # height / width
    double value
    double alpha

ctypedef struct Recipe:
    # What is done with the images of a batch; at most one augmentation mixes.
    const Augmentation *augmentations
    Py_ssize_t count
    Py_ssize_t height, width, channels
    uint64_t seed
    uint32_t update

ctypedef struct Rectangle:
    Py_ssize_t top, left, bottom, right             # the last two are outside


cdef inline void draw(
    const Recipe *recipe, Py_ssize_t augmentation, Py_ssize_t sample, Py_ssize_t index,
    uint32_t *words,  # OUT (4,)
) noexcept nogil:
    """Random words for a sample's place in its batch; augmentations count from 2^31, layers from 0."""
    cdef uint32_t[4] counter = [<uint32_t> index, <uint32_t> sample, <uint32_t> augmentation + 0x80000000u,
                                recipe.update]
    cdef uint32_t[2] key = [<uint32_t> recipe.seed, <uint32_t> (recipe.seed >> 32)]
    fc_philox(counter, key, words)


cdef inline Py_ssize_t below(Py_ssize_t n, uint32_t word) noexcept nogil:
    """A uniform number of 0..n-1, to within n / 2^32."""
    return <Py_ssize_t> ((<uint64_t> word * <uint64_t> n) >> 32)


cdef inline double within(double low, double high, uint32_t word) noexcept nogil:
    """A uniform number of low..high."""
    return low + (high - low) * fc_uniform(word)


cdef inline double symmetric_beta(double alpha, uint32_t u, uint32_t v) noexcept nogil:
    """A number of Beta(alpha, alpha): (1 + t / sqrt(2 alpha + t^2)) / 2 for t of Student's distribution with 2 alpha
    degrees of freedom, which is t = sqrt(2 alpha r) cos(2 pi V), r = U^(-1 / alpha) - 1 (Bailey, 1994)."""
    cdef double r = expm1(-log((u + 0.5) * 2.0**-32) / alpha), c = cos(2 * M_PI * fc_uniform(v))
    return 0.5 + 0.5 * c / sqrt(1 / r + c * c)


cdef inline void horizontal_flip(
    Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels, const real *x,
    real *y,  # OUT
) noexcept nogil:
    """y[h, w] = x[h, width - 1 - w]."""
    cdef Py_ssize_t h, w, c
    for h in range(height):
        for w in range(width):
            for c in range(channels):
                y[(h * width + w) * channels + c] = x[(h * width + width - 1 - w) * channels + c]


cdef inline Py_ssize_t reflected(Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    """The index in 0..n-1 that `at`, less than n outside, is the mirror image of; the edge does not stand twice."""
    return -at if at < 0 else (2 * n - 2 - at if at >= n else at)


cdef inline void crop(
    Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels, Py_ssize_t down, Py_ssize_t right, bint reflect,
    const real *x,
    real *y,  # OUT
) noexcept nogil:
    """y[h, w] = x[h + down, w + right], reflected or zero outside of x."""
    cdef Py_ssize_t h, w, line
    cdef Py_ssize_t start = min(width, max(<Py_ssize_t> 0, -right)), end = max(start, min(width, width - right))
    cdef const real *from_line
    cdef real *to
    for h in range(height):
        to = y + h * width * channels
        line = reflected(h + down, height) if reflect else h + down
        if line < 0 or line >= height:
            memset(to, 0, width * channels * sizeof(real))
            continue
        from_line = x + line * width * channels
        if not reflect:
            memset(to, 0, start * channels * sizeof(real))
            memset(to + end * channels, 0, (width - end) * channels * sizeof(real))
        else:
            for w in range(start):
                memcpy(to + w * channels, from_line + reflected(w + right, width) * channels, channels * sizeof(real))
            for w in range(end, width):
                memcpy(to + w * channels, from_line + reflected(w + right, width) * channels, channels * sizeof(real))
        memcpy(to + start * channels, from_line + (start + right) * channels, (end - start) * channels * sizeof(real))


cdef inline void color_jitter(
    Py_ssize_t pixels, Py_ssize_t channels, double brightness, double contrast, double saturation, const real *x,
    real *y,  # OUT
) noexcept nogil:
    """x' = brightness x;  x'' = contrast x' + (1 - contrast) m';  y = saturation x'' + (1 - saturation) g''.

    g is the mean of a pixel's channels and m the mean of g over the image. With m and g of x itself,
    y = brightness (contrast (saturation x + (1 - saturation) g) + (1 - contrast) m).
    """
    cdef Py_ssize_t p, c
    cdef double total = 0, sum, gray, offset
    for p in range(pixels):
        sum = 0
        for c in range(channels):
            sum += x[p * channels + c]
        total += sum
    offset = brightness * (1 - contrast) * (total / (pixels * channels))
    for p in range(pixels):
        sum = 0
        for c in range(channels):
            sum += x[p * channels + c]
        gray = (1 - saturation) * (sum / channels)
        for c in range(channels):
            y[p * channels + c] = <real> (brightness * contrast * (saturation * x[p * channels + c] + gray) + offset)


cdef inline void erase(
    Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels, const Rectangle *r, double value, const real *x,
    real *y,  # OUT
) noexcept nogil:
    """y = value in the rectangle, x elsewhere."""
    cdef Py_ssize_t h, at
    memcpy(y, x, height * width * channels * sizeof(real))
    for h in range(r.top, r.bottom):
        for at in range((h * width + r.left) * channels, (h * width + r.right) * channels):
            y[at] = <real> value


cdef inline void mix_up(
    Py_ssize_t size, double weight, const real *x, const real *partner,
    real *y,  # OUT
) noexcept nogil:
    """y = (1 - weight) x + weight partner."""
    cdef Py_ssize_t at
    cdef real factor = <real> weight
    for at in range(size):
        y[at] = x[at] + factor * (partner[at] - x[at])


cdef inline void cut_mix(
    Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels, const Rectangle *r, const real *x, const real *partner,
    real *y,  # OUT
) noexcept nogil:
    """y = partner in the rectangle, x elsewhere."""
    cdef Py_ssize_t h, at
    memcpy(y, x, height * width * channels * sizeof(real))
    for h in range(r.top, r.bottom):
        at = (h * width + r.left) * channels
        memcpy(y + at, partner + at, (r.right - r.left) * channels * sizeof(real))


cdef inline bint draw_rectangle(
    const Recipe *recipe, Py_ssize_t augmentation, Py_ssize_t sample,
    Rectangle *r,  # OUT
) noexcept nogil:
    """The rectangle to erase (Zhong et al., 2020, algorithm 1): a size that fits into the image, at any place where it
    does; whether one was found."""
    cdef Py_ssize_t attempt
    cdef double area, ratio, rows, columns
    cdef uint32_t[4] words
    cdef const Augmentation *a = &recipe.augmentations[augmentation]
    for attempt in range(1, RECTANGLES + 1):
        draw(recipe, augmentation, sample, attempt, words)
        area = within(a.least_area, a.most_area, words[0]) * (recipe.height * recipe.width)
        ratio = within(a.least_ratio, a.most_ratio, words[1])
        rows, columns = sqrt(area * ratio) + 0.5, sqrt(area / ratio) + 0.5  # to be rounded down
        if rows < recipe.height + 1 and columns < recipe.width + 1:
            r.top = below(recipe.height - <Py_ssize_t> rows + 1, words[2])
            r.left = below(recipe.width - <Py_ssize_t> columns + 1, words[3])
            r.bottom, r.right = r.top + <Py_ssize_t> rows, r.left + <Py_ssize_t> columns
            return True
    return False


cdef inline bint transform(
    const Recipe *recipe, Py_ssize_t augmentation, Py_ssize_t sample, const real *x,
    real *y,  # OUT, where it does
) noexcept nogil:
    """Apply an augmentation that does not mix to the image at a place in the batch; whether it changes it."""
    cdef const Augmentation *a = &recipe.augmentations[augmentation]
    cdef Py_ssize_t height = recipe.height, width = recipe.width, channels = recipe.channels
    cdef uint32_t[4] words
    cdef Rectangle r
    draw(recipe, augmentation, sample, 0, words)
    if (a.kind == HORIZONTAL_FLIP or a.kind == RANDOM_ERASING) and fc_uniform(words[0]) >= a.p:
        return False
    if a.kind == HORIZONTAL_FLIP:
        horizontal_flip(height, width, channels, x, y)
    elif a.kind == RANDOM_CROP:
        crop(height, width, channels, below(2 * a.padding + 1, words[0]) - a.padding,
             below(2 * a.padding + 1, words[1]) - a.padding, a.reflect, x, y)
    elif a.kind == COLOR_JITTER:
        color_jitter(height * width, channels, within(1 - a.brightness, 1 + a.brightness, words[0]),
                     within(1 - a.contrast, 1 + a.contrast, words[1]),
                     within(1 - a.saturation, 1 + a.saturation, words[2]), x, y)
    elif draw_rectangle(recipe, augmentation, sample, &r):
        erase(height, width, channels, &r, a.value, x, y)
    else:
        return False
    return True


cdef inline double mix(
    const Recipe *recipe, Py_ssize_t augmentation, Py_ssize_t sample, const real *x, const real *partner,
    real *y,  # OUT
) noexcept nogil:
    """Mix the image at a place in the batch with its partner; the partner's weight."""
    cdef const Augmentation *a = &recipe.augmentations[augmentation]
    cdef Py_ssize_t height = recipe.height, width = recipe.width, channels = recipe.channels, rows, columns
    cdef uint32_t[4] words
    cdef Rectangle r
    cdef double weight
    draw(recipe, augmentation, sample, 0, words)
    weight = 1 - symmetric_beta(a.alpha, words[0], words[1])
    if a.kind == MIXUP:
        mix_up(height * width * channels, weight, x, partner, y)
        return weight
    rows, columns = <Py_ssize_t> (height * sqrt(weight) + 0.5), <Py_ssize_t> (width * sqrt(weight) + 0.5)
    r.top, r.left = below(height, words[2]) - rows // 2, below(width, words[3]) - columns // 2
    r.bottom, r.right = min(height, r.top + rows), min(width, r.left + columns)
    r.top, r.left = max(<Py_ssize_t> 0, r.top), max(<Py_ssize_t> 0, r.left)
    cut_mix(height, width, channels, &r, x, partner, y)
    return <double> ((r.bottom - r.top) * (r.right - r.left)) / (height * width)


cdef inline const real *transform_all(
    const Recipe *recipe, Py_ssize_t first, Py_ssize_t last, Py_ssize_t sample, const real *x,
    real *a, real *b,  # two images to work in; x may be b
) noexcept nogil:
    """Apply the augmentations first : last; the image is then in a, in b, or where it was."""
    cdef Py_ssize_t k
    for k in range(first, last):
        if transform(recipe, k, sample, x, a):
            x = a
            a, b = b, a
    return x


cdef inline const real *augment_sample(
    const Recipe *recipe, const real *x, const int64_t *order, Py_ssize_t first, Py_ssize_t n, Py_ssize_t i,
    real *work,                            # three images to work in
    Py_ssize_t *partner, double *weight,   # OUT
) noexcept nogil:
    """Augment image i of the batch of n that are the rows order[first : first + n] (first, ... where order is NULL)
    of x; returns where it then is: in work or, unchanged, in x.

    The target is (1 - weight) of its own and weight of that of the place `partner` in the batch: weight is 0 where
    nothing mixes. The partner is changed, by its own random numbers, by what stands before the mixing. It is `shift`
    places behind, the same shift from 1..n-1 for the batch, so that every image is partner once; alone, an image is
    its own.
    """
    cdef Py_ssize_t size = recipe.height * recipe.width * recipe.channels, mixing = 0, j, at
    cdef real *a = work
    cdef real *b = work + size
    cdef real *c = work + 2 * size
    cdef const real *y
    cdef const real *other
    cdef uint32_t[4] words
    while mixing < recipe.count and recipe.augmentations[mixing].kind < MIXUP:
        mixing += 1
    partner[0], weight[0] = i, 0
    at = first + i if order == NULL else order[first + i]
    y = transform_all(recipe, 0, mixing, i, x + at * size, a, b)
    if mixing == recipe.count:
        return y
    if y == b:
        a, b = b, a
    draw(recipe, mixing, 0, 1, words)
    j = (i + 1 + below(n - 1, words[0])) % n
    at = first + j if order == NULL else order[first + j]
    other = transform_all(recipe, 0, mixing, j, x + at * size, b, c)
    if other == c:
        b, c = c, b
    partner[0], weight[0] = j, mix(recipe, mixing, i, y, other, c)
    return transform_all(recipe, mixing + 1, recipe.count, i, <const real *> c, a, b)
