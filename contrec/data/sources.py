"""Where each official file comes from, its accepted digests and its terms of use."""

from __future__ import annotations

from dataclasses import dataclass

GROUPLENS = "https://files.grouplens.org/datasets"
AMAZON_2014 = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
AMAZON_2018 = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"
CONTREC = "https://raw.githubusercontent.com/Quhaoh233/ContRec/fb09d687936239b5b9fc97b893766724ed3762e2/data"
DEFTREC = "https://raw.githubusercontent.com/Quhaoh233/DeftRec/f29f02a810f690419ad79668addf0ae3fdc0370a/data"

_LASTFM = "HetRec 2011 Last.fm 2K: for non-commercial use; cite Cantador, Brusilovsky and Kuflik (2011)."
_ML1M = "MovieLens 1M: research use with acknowledgement, not to be redistributed without GroupLens' permission."
_AMAZON = "Amazon reviews: no licence comes with the files; see https://nijianmo.github.io/amazon/ for the citation."
_AUTHORS = "Split files of the ContRec and TokenRec releases (MIT) and the DeftRec release (no licence file)."


@dataclass(frozen=True)
class Source:
    """One file that a loader reads.

    Attributes:
        url: official address, or None where there is none.
        sha256: accepted digests.
        pinned: True if every good copy has one of these digests. False where the official file's digest is not known
            to us: such a file is accepted unpinned and must then pass the loader's checks of structure and row count.
        terms: terms of use, one sentence.
    """

    url: str | None
    sha256: tuple[str, ...] = ()
    pinned: bool = True
    terms: str = ""


SOURCES = {
    "hetrec2011-lastfm-2k.zip": Source(
        f"{GROUPLENS}/hetrec2011/hetrec2011-lastfm-2k.zip",
        ("6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",),
        terms=_LASTFM,
    ),
    # the official archive, then the copy with reconstructed timestamps (its RECONSTRUCTION.txt says how)
    "ml-1m.zip": Source(
        f"{GROUPLENS}/movielens/ml-1m.zip",
        (
            "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            "0fef85c44b0acfcc672057e68e7dd527126b465e3ac097ba006dddc64f54aa49",
        ),
        terms=_ML1M,
    ),
    # digests of the assembled copies without review text; the official files are accepted unpinned
    "reviews_Beauty_5.json.gz": Source(
        f"{AMAZON_2014}/reviews_Beauty_5.json.gz",
        ("a876db1c25c2279c36f7585cb85bc5b245f2a3ff7c7ec1434c7ede622b26e253",),
        pinned=False,
        terms=_AMAZON,
    ),
    "meta_Beauty.json.gz": Source(
        f"{AMAZON_2014}/meta_Beauty.json.gz",
        ("4f2a14065b9071ee95f759acd3723419c0c3c1d5d5d1cfcead7d6897f8a166f6",),
        pinned=False,
        terms=_AMAZON,
    ),
    "Video_Games_5.json.gz": Source(
        f"{AMAZON_2018}/categoryFilesSmall/Video_Games_5.json.gz", pinned=False, terms=_AMAZON
    ),
    "meta_Video_Games.json.gz": Source(
        f"{AMAZON_2018}/metaFiles2/meta_Video_Games.json.gz", pinned=False, terms=_AMAZON
    ),
    "Software_5.json.gz": Source(f"{AMAZON_2018}/categoryFilesSmall/Software_5.json.gz", pinned=False, terms=_AMAZON),
    "meta_Software.json.gz": Source(f"{AMAZON_2018}/metaFiles2/meta_Software.json.gz", pinned=False, terms=_AMAZON),
    "Software_5_sample.csv": Source(
        None, ("de01f2d945d722dd8a6772e30ce5ee24d8e1e965274f6ff828842ed74ebde0e8",), terms=_AMAZON
    ),
}

# test.txt, user_list.txt, item_list.txt; train.txt is test.txt without the last item of each line and is not read
_RELEASED = {
    "lastfm": (
        f"{CONTREC}/lastfm",
        "5a19891a2f55ea4707dfc830ac70ba6246452aeca0e98a718d08b72506b8359d",
        "5f504df839a65c636009b96259def4000d5048eb257d854d6ea7567d5c82ca19",
        "dee4862c3929784aa440f735446e2af10cdf47ab9a9815e090ab506940d9a618",
    ),
    "ml1m": (
        f"{DEFTREC}/ml1m",
        "03e68d846d2722b3dcaa3751b5afec3fbe94ddf2f21995963eb106caf84c82bc",
        "57306182636ed803b3032f069a87793759a0d5c6ff4b5f248fc07dd56e0d000f",
        "aed4ad6246aa4161ee72f24c1aab4182606dd9dfdbba51db2f5331225d2f9db3",
    ),
    "beauty": (
        f"{CONTREC}/beauty",
        "2566173ea7dba13e03d9efea095ab20538b25b429b8afd26bdeac75a65374caa",
        "f1045cef01ab2a283903bd6f9b1465d36c6fe323922d785ee261eee352449b33",
        "497cfd87295fb2845632109b22561514c2d1fafa6ca4b4fa15d40a6541628df1",
    ),
    "beauty_deftrec": (
        f"{DEFTREC}/beauty",
        "c058d1dde7764871833b591a794d7b3799f1dd22440915182fedf631a0a7f31e",
        "a4a4ec175f036979b8ecf65c528f143a312d87453d89c7152bd6d8ac933c0586",
        "12b48ba6ed87af5aedd4cd3f4c3d0386326cab79c67f89deb8a3a3980139583d",
    ),
    "game": (
        f"{CONTREC}/game",
        "b4f7d7471b42c839530a3c613825b02fca507c3d503004de2173cf7971d9ec12",
        "7440b6812caccd09b4307688ae4c1babf4db4520da1bb8451f46642ab2855b02",
        "2246313b84922cfbcbdf2a7908bbb9edd4eb00cfbd6c3368eb9cec834ad98d1d",
    ),
    "software": (
        f"{DEFTREC}/software",
        "5d8aa93c381cb671d43cd4cb593e7d8a2a83a82506d0f64fb3a7ecbd3c805562",
        "dccbac5032c99fd5080bd207ac75b0f87d5f7a8acf25d7192a5ef5407c379cbc",
        "35db85f0dd27ce2d0da822e0a46e0ad1fce3a35871e850a94e15eafd1e8a7450",
    ),
}
for _folder, (_url, *_digests) in _RELEASED.items():
    for _file, _digest in zip(("test.txt", "user_list.txt", "item_list.txt"), _digests):
        # our digest of Beauty's item list belongs to a rebuilt file: the released one is accepted unpinned
        _pinned = (_folder, _file) != ("beauty", "item_list.txt")
        SOURCES[f"processed/{_folder}/{_file}"] = Source(f"{_url}/{_file}", (_digest,), _pinned, _AUTHORS)
