from tests.keystore_agreement_contract import KeyStoreAgreementContract
from tests.keystore_contract import KeyStoreContract


class TestSQLite(KeyStoreContract):
    """The contract, over the fixture `bench` of this folder."""


class TestSQLiteAgreement(KeyStoreAgreementContract):
    """What concerns the peer's store."""
